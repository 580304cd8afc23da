//! Plays our own scripts through packetdrill's C interface, as packetdrill does: see `tests/scripts`.

mod calls;
mod numbers;
mod packet;
mod player;
mod script;

use player::Player;

/// Each script is a test of its name.
macro_rules! scripts {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                play(include_str!(concat!("../scripts/", stringify!($name), ".pkt")));
            }
        )*

        #[test]
        fn every_script_is_played() {
            let here = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts");
            let mut found: Vec<String> = std::fs::read_dir(here)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            found.sort();
            assert_eq!(found, [$(concat!(stringify!($name), ".pkt")),*]);
        }
    };
}

scripts! {
    active_open
    blocking_write
    challenge_ack
    close_first
    connect_timeout
    data_retransmission
    defer_accept
    defer_accept_data
    fast_open_to_nobody
    fast_retransmit
    fin_retransmission
    fin_wait_2
    half_close
    linger_zero
    low_water
    nonblocking
    passive_open
    peer_has_closed
    refused
    reset_by_peer
    reset_timestamp
    simultaneous_close
    syn_ack_retransmission
    syn_retransmission
    unread_data
    window_probe
}

/// packetdrill asks of none whether it is there.
#[test]
fn every_function_is_given() {
    let api = calls::Api::new();
    assert!(api.pointers().iter().all(|&pointer| pointer != 0));
    api.free();
}

fn play(text: &str) {
    Player::new().play(&script::parse(text));
}
