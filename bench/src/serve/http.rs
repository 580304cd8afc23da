//! HTTP/1.1 as a server needs it that has one page.

/// A whole response with a body of so many bytes.
pub(crate) fn response(body: usize) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {body}\r\n\r\n");
    [head.as_bytes(), &vec![b'x'; body]].concat()
}

/// How many heads of requests end in `bytes`; `matched` is how much of an end was there before. Requests have no body.
pub(super) fn requests(matched: &mut usize, bytes: &[u8]) -> usize {
    const END: &[u8] = b"\r\n\r\n";
    let mut ends = 0;
    for byte in bytes {
        *matched = match *matched {
            so_far if END[so_far] == *byte => so_far + 1,
            _ => usize::from(*byte == END[0]),
        };
        if *matched == END.len() {
            (*matched, ends) = (0, ends + 1);
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_however_they_are_cut() {
        let bytes = b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\r\n\r\n";
        for cut in 1..bytes.len() {
            let mut matched = 0;
            let count: usize = bytes.chunks(cut).map(|part| requests(&mut matched, part)).sum();
            assert_eq!((count, matched), (2, 0), "{cut}");
        }
    }

    #[test]
    fn a_response_says_how_long_it_is() {
        let text = String::from_utf8(response(3)).unwrap();
        assert!(text.ends_with("Content-Length: 3\r\n\r\nxxx"), "{text}");
    }
}
