//! HTTP/1.1 as a client needs it: one request, and where responses end (RFC 9112).

/// The request. Connections stay (section 9.3).
pub(crate) const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: darner-bench\r\n\r\n";

/// Its bytes.
pub(crate) const REQUEST_LEN: u32 = 38;
const _: () = assert!(REQUEST.len() == REQUEST_LEN as usize);

/// A response that is not 200 (OK), or does not say how long it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BadResponse;

/// No server that is measured has longer ones.
const HEAD_MOST: usize = 8 << 10;

/// Takes `len` bytes, of which `text` are the first ones: `left` is what is missing of a body, `partial` a head that is not whole. Returns
/// how many responses are complete.
pub(crate) fn take(
    (left, partial): (&mut u32, &mut Vec<u8>),
    text: &[u8],
    len: u32,
) -> Result<u32, BadResponse> {
    let (mut at, mut complete) = (0, 0);
    while at < len {
        if *left == 0 {
            let begins = text.get(at as usize..).unwrap_or_default();
            let before = partial.len();
            partial.extend_from_slice(begins);
            let Some((head, body)) = head(partial)? else {
                return Ok(complete);
            };
            partial.clear();
            at += u32::try_from(head - before).map_err(|_| BadResponse)?;
            *left = body;
        }
        let body = (*left).min(len - at);
        *left -= body;
        at += body;
        complete += u32::from(*left == 0);
    }
    Ok(complete)
}

/// Length of a response's head, once it is whole, and of the body behind it.
fn head(bytes: &[u8]) -> Result<Option<(usize, u32)>, BadResponse> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() > HEAD_MOST { Err(BadResponse) } else { Ok(None) };
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| BadResponse)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 200") {
        return Err(BadResponse);
    }
    let fields = lines.filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, length) = lengths.next().ok_or(BadResponse)?;
    Ok(Some((end + 4, length.trim().parse().map_err(|_| BadResponse)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 5\r\nX: y\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length:0\r\n\r\n";

    #[test]
    fn responses_end_where_they_say_however_they_are_cut() {
        for cut in 1..TWO.len() {
            let (mut left, mut partial) = (0, Vec::new());
            let complete: u32 = TWO
                .chunks(cut)
                .map(|text| {
                    let len = u32::try_from(text.len()).unwrap();
                    take((&mut left, &mut partial), text, len).unwrap()
                })
                .sum();
            assert_eq!((complete, left, partial.len()), (2, 0, 0), "{cut}");
        }
    }

    #[test]
    fn what_is_not_ok_or_has_no_length_is_bad() {
        for bad in [
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            "xxxx\r\n\r\n",
        ] {
            let len = u32::try_from(bad.len()).unwrap();
            let taken = take((&mut 0, &mut Vec::new()), bad.as_bytes(), len);
            assert_eq!(taken, Err(BadResponse), "{bad}");
        }
    }
}
