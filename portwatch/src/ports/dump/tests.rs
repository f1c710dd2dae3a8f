//! Packets made by hand: those of a healthy kernel, and those that no kernel should send.

use super::{
    BUFFER_BYTES, DUMP_INTERRUPTED, DumpError, Family, Part, Request, SOCK_DIAG_BY_FAMILY, Socket,
    TCP_CONNECTED,
};
use crate::event::{Protocol, SocketState};

const SEQUENCE_NUMBER: u32 = 7;
const DONE: u16 = 3;
const ERROR: u16 = 2;

fn request(protocol: Protocol) -> Request {
    Request { family: Family::V6, protocol, states: TCP_CONNECTED, bytecode: vec![1, 2, 3, 4] }
}

fn message(kind: u16, flags: u16, sequence_number: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + payload.len()).unwrap();
    let head = [length.to_ne_bytes(), [kind.to_ne_bytes(), flags.to_ne_bytes()].concat().try_into().unwrap()];
    [&head.concat()[..], &sequence_number.to_ne_bytes(), &[0; 4], payload].concat()
}

/// `struct inet_diag_msg` of a socket from port 40000 to port 443, with an inode and a cookie.
fn socket(family: u8, state: u8, addresses: [[u8; 16]; 2]) -> Vec<u8> {
    let [source, destination] = addresses;
    let ports = [40000_u16.to_be_bytes(), 443_u16.to_be_bytes()].concat();
    let (device, cookie) = (3_u32.to_ne_bytes(), 0x1_0000_0002_u64.to_ne_bytes());
    let rest = [41_001, 0, 0, 1000, 4711].map(u32::to_ne_bytes).concat();
    [&[family, state, 0, 0][..], &ports, &source, &destination, &device, &cookie, &rest].concat()
}

fn mapped(last: u8) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, last]
}

fn read(protocol: Protocol, bytes: &[u8]) -> (Result<Part, DumpError>, Vec<Socket>) {
    let mut seen = Vec::new();
    let part = request(protocol).part(bytes, SEQUENCE_NUMBER, &mut |socket| seen.push(*socket));
    (part, seen)
}

#[test]
fn a_socket_is_read_with_mapped_addresses_as_ipv4() {
    let bytes = message(SOCK_DIAG_BY_FAMILY, 2, SEQUENCE_NUMBER, &socket(10, 6, [mapped(1), mapped(2)]));
    let (part, seen) = read(Protocol::Tcp, &bytes);
    assert_eq!(part.unwrap(), Part::More { interrupted: false });
    let expected = Socket {
        protocol: Protocol::Tcp,
        state: SocketState::TimeWait,
        source: "127.0.0.1:40000".parse().unwrap(),
        destination: "127.0.0.2:443".parse().unwrap(),
        device: 3,
        inode: 4711,
        cookie: 0x1_0000_0002,
        left_s: 42,
    };
    assert_eq!(seen, [expected]);
    let v6 = [[0x20; 16], [0x30; 16]];
    let bytes = message(SOCK_DIAG_BY_FAMILY, 2, SEQUENCE_NUMBER, &socket(10, 1, v6));
    assert_eq!(
        read(Protocol::Udp, &bytes).1[0].source.to_string(),
        "[2020:2020:2020:2020:2020:2020:2020:2020]:40000"
    );
}

#[test]
fn what_answers_another_request_and_what_nobody_knows_is_passed_over() {
    let one = socket(2, 1, [[127; 16], [127; 16]]);
    let bytes = [
        message(SOCK_DIAG_BY_FAMILY, 2, SEQUENCE_NUMBER - 1, &one),
        message(99, 2, SEQUENCE_NUMBER, b"something"),
        // What follows stands at the next multiple of four.
        vec![0; 3],
        message(SOCK_DIAG_BY_FAMILY, 2, SEQUENCE_NUMBER, &socket(2, 200, [[127; 16], [127; 16]])),
        message(SOCK_DIAG_BY_FAMILY, 2, SEQUENCE_NUMBER, &one),
        message(DONE, 2, SEQUENCE_NUMBER, &0_i32.to_ne_bytes()),
        message(SOCK_DIAG_BY_FAMILY, 2, SEQUENCE_NUMBER, &one),
    ];
    let (part, seen) = read(Protocol::Tcp, &bytes.concat());
    assert_eq!((part.unwrap(), seen.len()), (Part::Last { interrupted: false }, 1));
}

#[test]
fn tables_that_changed_while_they_were_read_are_noticed_wherever_the_kernel_says_so() {
    let one =
        |flags| message(SOCK_DIAG_BY_FAMILY, flags, SEQUENCE_NUMBER, &socket(2, 1, [[127; 16], [127; 16]]));
    let done = |flags| message(DONE, flags, SEQUENCE_NUMBER, &0_i32.to_ne_bytes());
    let cases = [
        ([one(2), done(2)], Part::Last { interrupted: false }),
        ([one(2 | DUMP_INTERRUPTED), done(2)], Part::Last { interrupted: true }),
        ([one(2), done(2 | DUMP_INTERRUPTED)], Part::Last { interrupted: true }),
        ([one(2 | DUMP_INTERRUPTED), one(2)], Part::More { interrupted: true }),
    ];
    for (messages, expected) in cases {
        assert_eq!(read(Protocol::Tcp, &messages.concat()).0.unwrap(), expected);
    }
}

#[test]
fn an_error_says_what_was_tried_and_a_missing_module_what_to_do() {
    let error = |kind, number: i32| {
        let bytes = message(kind, 0, SEQUENCE_NUMBER, &number.to_ne_bytes());
        read(Protocol::Udp, &bytes).0.unwrap_err().to_string()
    };
    for kind in [ERROR, DONE] {
        assert!(error(kind, -1).starts_with("list UDP sockets over sock_diag: Operation not permitted"));
        let missing = error(kind, -2);
        assert!(missing.contains("no udp_diag") && missing.contains("\nhint: "), "{missing}");
    }
    assert!(error(ERROR, 0).contains("an error that is none"));
    assert!(error(ERROR, i32::MIN).starts_with("list UDP sockets"));
}

#[test]
fn no_answer_makes_it_panic() {
    let whole = [
        message(SOCK_DIAG_BY_FAMILY, 2, SEQUENCE_NUMBER, &socket(10, 6, [mapped(1), mapped(2)])),
        message(DONE, 2, SEQUENCE_NUMBER, &0_i32.to_ne_bytes()),
    ]
    .concat();
    for length in 0..whole.len() {
        let _ = read(Protocol::Tcp, &whole[..length]);
        // A byte that is not what it was, in each place.
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[length] = value;
            let _ = read(Protocol::Tcp, &bytes);
        }
    }
    let cut = message(SOCK_DIAG_BY_FAMILY, 2, SEQUENCE_NUMBER, &[2; 71]);
    assert!(matches!(read(Protocol::Tcp, &cut).0, Err(DumpError::Malformed { .. })));
    assert!(matches!(read(Protocol::Tcp, &[0xff; 64]).0, Err(DumpError::Malformed { .. })));
    let neither = message(SOCK_DIAG_BY_FAMILY, 2, SEQUENCE_NUMBER, &socket(1, 1, [[0; 16]; 2]));
    assert!(matches!(read(Protocol::Tcp, &neither).0, Err(DumpError::Malformed { .. })));
}

#[test]
fn a_request_is_what_the_kernel_reads() {
    let bytes = request(Protocol::Udp).bytes(SEQUENCE_NUMBER);
    // Head, `struct inet_diag_req_v2`, one attribute of eight bytes.
    assert_eq!(bytes.len(), 16 + 56 + 8);
    assert_eq!(bytes[..8], [80, 0, 0, 0, 20, 0, 1, 3]);
    assert_eq!(bytes[16..24], [10, 17, 0, 0, 0x7e, 0x1b, 0, 0]);
    assert_eq!(bytes[72..], [8, 0, 1, 0, 1, 2, 3, 4]);
    let all = Request { bytecode: Vec::new(), states: 1 << 13, ..request(Protocol::Tcp) }.bytes(1);
    assert_eq!((all.len(), &all[16..24]), (72, &[10, 6, 0, 0, 0, 0x20, 0, 0][..]));
    assert!(all.len() < BUFFER_BYTES);
}
