//! Reads the kernel's socket tables over sock_diag.
//!
//! In: which sockets. Out: each of them, as it arrives; nothing is kept. Must not know: what they are read for.

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::{
    Emitable as _, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_OVERRUN, NetlinkBuffer,
    NetlinkHeader,
};
use netlink_packet_sock_diag::SOCK_DIAG_BY_FAMILY;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use nix::errno::Errno;
use nix::libc::{IPPROTO_TCP, IPPROTO_UDP, MSG_TRUNC};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned, big_endian, native_endian};

use crate::event::{Protocol, SocketState};

/// The kernel fills at most 32 KiB at once (`netlink_recvmsg`, net/netlink/af_netlink.c).
const BUFFER_BYTES: usize = 64 * 1024;
/// `NLM_F_DUMP_INTR`, include/uapi/linux/netlink.h: the tables changed while they were read.
const DUMP_INTERRUPTED: u16 = 0x10;
/// `INET_DIAG_REQ_BYTECODE`, include/uapi/linux/inet_diag.h.
const BYTECODE: u16 = 1;
/// Type and length of a netlink attribute.
const ATTRIBUTE_HEADER_BYTES: usize = 4;

/// `TCP_LISTEN`. Alone it spares the kernel the table of connections (`inet_diag_dump_icsk`, net/ipv4/inet_diag.c).
pub(super) const TCP_LISTENS: u32 = 1 << 10;
/// `TCP_BOUND_INACTIVE`, which kernels before 6.8 ignore.
pub(super) const TCP_BOUND: u32 = 1 << 13;
/// The others of include/net/tcp_states.h: 1 to 12 without `TCP_CLOSE` and `TCP_LISTEN`.
pub(super) const TCP_CONNECTED: u32 = 0x1ffe & !(1 << 7 | 1 << 10);
/// UDP sockets are in `TCP_ESTABLISHED` if they have a peer, in `TCP_CLOSE` if not.
pub(super) const UDP: u32 = 1 << 1 | 1 << 7;

/// The family of sockets, not of what they carry: IPv4-mapped connections are with IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// `AF_INET`, include/linux/socket.h.
    V4 = 2,
    /// `AF_INET6`.
    V6 = 10,
}

/// Which sockets the kernel shall send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) family: Family,
    /// TCP or UDP.
    pub(super) protocol: Protocol,
    /// One bit a state.
    pub(super) states: u32,
    /// From `condition`; no conditions if empty.
    pub(super) bytecode: Vec<u8>,
}

/// A socket as the kernel describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socket {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Where it stands.
    pub state: SocketState,
    /// Its own address and port; IPv4 also where the socket is IPv6 and the address IPv4-mapped.
    pub source: SocketAddr,
    /// Its peer's; unspecified and port 0 if it has none.
    pub destination: SocketAddr,
    /// Index of the interface that it is bound to, or 0.
    pub device: u32,
    /// 0 in TIME_WAIT, and when its process has closed it.
    pub inode: u32,
    /// Stays the same from connect() to the end of TIME_WAIT (`sock_gen_cookie`).
    pub cookie: u64,
    /// In TIME_WAIT: seconds until it is gone, rounded up; else 0.
    pub left_s: u8,
}

/// Why sockets could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// A system call failed.
    #[error("{attempt} over sock_diag: {error}")]
    Refused {
        /// What was tried.
        attempt: String,
        /// Why not.
        error: io::Error,
    },
    /// The part of the kernel that answers is missing.
    #[error(
        "list {protocol} sockets over sock_diag: this kernel has no {module}, or may not load it\n\
         hint: as root on the host, modprobe {module}"
    )]
    NoDiag {
        /// For whom.
        protocol: &'static str,
        /// Its module.
        module: &'static str,
    },
    /// The answer is not what this version knows.
    #[error("list {protocol} sockets over sock_diag: {what} in the kernel's answer")]
    Malformed {
        /// For whom.
        protocol: &'static str,
        /// What is wrong.
        what: &'static str,
    },
}

/// A netlink socket. It belongs to the namespace that the thread was in when it was made.
pub(super) struct Reader {
    socket: netlink_sys::Socket,
    buffer: Vec<u8>,
    sequence_number: u32,
}

impl Reader {
    /// Opens one.
    pub(super) fn new() -> Result<Self, DumpError> {
        let refused = |error| DumpError::Refused { attempt: "open a socket".to_owned(), error };
        let mut socket = netlink_sys::Socket::new(NETLINK_SOCK_DIAG).map_err(refused)?;
        socket.bind_auto().map_err(refused)?;
        Ok(Self { socket, buffer: vec![0; BUFFER_BYTES], sequence_number: 0 })
    }

    /// Hands each socket that fits to `each`. Tells whether the kernel's tables stayed the same meanwhile, as far as
    /// the kernel says so.
    pub(super) fn read(
        &mut self,
        request: &Request,
        each: &mut dyn FnMut(&Socket),
    ) -> Result<bool, DumpError> {
        let refused = |error| request.refused(error);
        self.sequence_number = self.sequence_number.wrapping_add(1);
        let bytes = request.bytes(self.sequence_number);
        let kernel = netlink_sys::SocketAddr::new(0, 0);
        self.socket.send_to(&bytes, &kernel, 0).map_err(refused)?;
        let mut consistent = true;
        loop {
            let length = match self.socket.recv(&mut &mut self.buffer[..], MSG_TRUNC) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other.map_err(refused)?,
            };
            let part = self.buffer.get(..length).ok_or_else(|| request.malformed("a cut message"))?;
            if part.is_empty() {
                return Err(request.malformed("no message"));
            }
            match request.part(part, self.sequence_number, each)? {
                Part::More { interrupted } => consistent &= !interrupted,
                Part::Last { interrupted } => return Ok(consistent && !interrupted),
            }
        }
    }
}

/// `struct inet_diag_msg`, include/uapi/linux/inet_diag.h. Read where it stands: netlink-packet-sock-diag copies each of
/// them, a twentieth of reading 400,000 sockets, and leaves out when a TIME_WAIT ends.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Answer {
    family: u8,
    state: u8,
    _timer: u8,
    _retransmits: u8,
    source_port: big_endian::U16,
    destination_port: big_endian::U16,
    source: [u8; 16],
    destination: [u8; 16],
    device: native_endian::U32,
    cookie: native_endian::U64,
    expires_ms: native_endian::U32,
    _receive_queue: native_endian::U32,
    _send_queue: native_endian::U32,
    _uid: native_endian::U32,
    inode: native_endian::U32,
}

impl Answer {
    /// Its own and its peer's; none in another family than those of [`Family`].
    fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        let ports = (self.source_port.get(), self.destination_port.get());
        let v4 = |[a, b, c, d, ..]: [u8; 16], port| SocketAddr::from(([a, b, c, d], port));
        let v6 = |bytes: [u8; 16], port| SocketAddr::new(IpAddr::from(bytes).to_canonical(), port);
        match self.family {
            family if family == Family::V4 as u8 => {
                Some((v4(self.source, ports.0), v4(self.destination, ports.1)))
            }
            family if family == Family::V6 as u8 => {
                Some((v6(self.source, ports.0), v6(self.destination, ports.1)))
            }
            _ => None,
        }
    }

    /// For a socket in TIME_WAIT.
    fn left_s(&self) -> u8 {
        u8::try_from(self.expires_ms.get().div_ceil(1000)).unwrap_or(u8::MAX)
    }
}

/// What one packet was.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    More { interrupted: bool },
    Last { interrupted: bool },
}

impl Request {
    /// The request as the kernel reads it.
    fn bytes(&self, sequence_number: u32) -> Vec<u8> {
        let request = InetRequest {
            family: self.family as u8,
            protocol: u8::try_from(self.protocol_number()).unwrap_or_default(),
            extensions: ExtensionFlags::empty(),
            // The crate has no name for the state of Linux 6.8.
            states: StateFlags::from_bits_retain(self.states),
            socket_id: match self.family {
                Family::V4 => SocketId::new_v4(),
                Family::V6 => SocketId::new_v6(),
            },
        };
        let mut header = NetlinkHeader::default();
        let head = header.buffer_len() + request.buffer_len();
        let attribute =
            if self.bytecode.is_empty() { 0 } else { ATTRIBUTE_HEADER_BYTES + self.bytecode.len() };
        let mut bytes = vec![0; head];
        header.length = u32::try_from(head + attribute).unwrap_or(u32::MAX);
        header.message_type = SOCK_DIAG_BY_FAMILY;
        header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        header.sequence_number = sequence_number;
        let (front, back) = bytes.split_at_mut(header.buffer_len());
        header.emit(front);
        request.emit(back);
        if attribute > 0 {
            bytes.extend(u16::try_from(attribute).unwrap_or(u16::MAX).to_ne_bytes());
            bytes.extend(BYTECODE.to_ne_bytes());
            bytes.extend(&self.bytecode);
        }
        bytes
    }

    /// Reads the messages of one packet.
    fn part(
        &self,
        bytes: &[u8],
        sequence_number: u32,
        each: &mut dyn FnMut(&Socket),
    ) -> Result<Part, DumpError> {
        let mut rest = bytes;
        let mut interrupted = false;
        while !rest.is_empty() {
            let message =
                NetlinkBuffer::new_checked(rest).map_err(|_| self.malformed("a message without its end"))?;
            let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
            // Messages begin at multiples of four (`NLMSG_ALIGN`).
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            if message.sequence_number() != sequence_number {
                continue;
            }
            interrupted |= message.flags() & DUMP_INTERRUPTED != 0;
            let payload = message.payload();
            match message.message_type() {
                SOCK_DIAG_BY_FAMILY => {
                    if let Some(socket) = self.socket(payload)? {
                        each(&socket);
                    }
                }
                // Both begin with an error number; it may be missing behind the end of old kernels' dumps.
                NLMSG_DONE => {
                    self.errno(payload)?;
                    return Ok(Part::Last { interrupted });
                }
                NLMSG_ERROR => {
                    self.errno(payload)?;
                    return Err(self.malformed("an error that is none"));
                }
                NLMSG_OVERRUN => return Err(self.malformed("an overrun")),
                _ => {}
            }
        }
        Ok(Part::More { interrupted })
    }

    /// None for one in a state that no request asks for.
    fn socket(&self, payload: &[u8]) -> Result<Option<Socket>, DumpError> {
        let none = || self.malformed("a socket that is none");
        let (found, _) = Answer::ref_from_prefix(payload).map_err(|_| none())?;
        let Some(state) = state(self.protocol, found.state) else { return Ok(None) };
        let (source, destination) = found.addresses().ok_or_else(none)?;
        Ok(Some(Socket {
            protocol: self.protocol,
            state,
            source,
            destination,
            device: found.device.get(),
            inode: found.inode.get(),
            cookie: found.cookie.get(),
            left_s: if state == SocketState::TimeWait { found.left_s() } else { 0 },
        }))
    }

    /// The error that a message begins with, if it is one.
    fn errno(&self, payload: &[u8]) -> Result<(), DumpError> {
        let number = payload.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
        match Errno::from_raw(number.saturating_neg()) {
            _ if number >= 0 => Ok(()),
            // `sock_diag_rcv_msg` and `inet_diag_lock_handler` find nobody for this protocol.
            Errno::ENOENT => {
                Err(DumpError::NoDiag { protocol: self.protocol_name(), module: self.module_name() })
            }
            errno => Err(self.refused(errno.into())),
        }
    }

    fn refused(&self, error: io::Error) -> DumpError {
        DumpError::Refused { attempt: format!("list {} sockets", self.protocol_name()), error }
    }

    fn malformed(&self, what: &'static str) -> DumpError {
        DumpError::Malformed { protocol: self.protocol_name(), what }
    }

    fn protocol_number(&self) -> i32 {
        if self.protocol == Protocol::Udp { IPPROTO_UDP } else { IPPROTO_TCP }
    }

    fn protocol_name(&self) -> &'static str {
        if self.protocol == Protocol::Udp { "UDP" } else { "TCP" }
    }

    fn module_name(&self) -> &'static str {
        if self.protocol == Protocol::Udp { "udp_diag" } else { "tcp_diag" }
    }
}

/// By its number in include/net/tcp_states.h.
fn state(protocol: Protocol, number: u8) -> Option<SocketState> {
    Some(match number {
        1 => SocketState::Established,
        2 => SocketState::SynSent,
        // 12 is `TCP_NEW_SYN_RECV`, which no dump shows by its own number.
        3 | 12 => SocketState::SynRecv,
        4 => SocketState::FinWait1,
        5 => SocketState::FinWait2,
        6 => SocketState::TimeWait,
        // A TCP socket that is bound is in `TCP_CLOSE`; so is a UDP socket without a peer.
        7 => SocketState::Bound,
        8 => SocketState::CloseWait,
        9 => SocketState::LastAck,
        10 if protocol == Protocol::Tcp => SocketState::Listen,
        11 => SocketState::Closing,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
