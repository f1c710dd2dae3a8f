//! What a socket tells of itself.
//!
//! In: a `struct sock`. Out: its addresses, protocol and range in the forms of the records. Must not know: why
//! somebody asks.

use core::ptr::null;

use portwatch_ebpf::abi::{
    Address, CALL_CONNECT, CALL_SENDTO, FLAG_KERNEL_SOCKET, FLAG_V4_MAPPED, PROTOCOL_MPTCP, PROTOCOL_TCP,
    PROTOCOL_UDP,
};

use crate::layout::{Memory, Probed, is_v4_mapped, setting, v4_mapped, words};

/// `AF_UNSPEC`, include/linux/socket.h.
pub(crate) const AF_UNSPEC: u16 = 0;
/// `AF_INET`, include/linux/socket.h.
pub(crate) const AF_INET: u16 = 2;
/// `AF_INET6`, include/linux/socket.h.
pub(crate) const AF_INET6: u16 = 10;
/// `IPPROTO_TCP`, include/uapi/linux/in.h.
pub(crate) const IPPROTO_TCP: u16 = 6;
/// `IPPROTO_UDP`, include/uapi/linux/in.h.
const IPPROTO_UDP: u16 = 17;
/// `IPPROTO_UDPLITE`, include/uapi/linux/in.h.
const IPPROTO_UDPLITE: u16 = 136;
/// `IPPROTO_MPTCP`, include/uapi/linux/in.h.
const IPPROTO_MPTCP: u16 = 262;
/// `SOCK_BINDADDR_LOCK`, include/net/sock.h: the user chose the source address.
const ADDRESS_LOCKED: u8 = 4;

/// `sk_family`.
///
/// # Safety
/// Here and below: `sock` must be a socket that `M` reads.
#[inline(always)]
pub(crate) unsafe fn family<M: Memory>(sock: *const u8) -> u16 {
    // SAFETY: the caller's promise.
    unsafe { M::read(sock, setting!(layout.sock_family)) }
}

/// What kind of socket it is.
pub(crate) struct Kind {
    /// One of the `PROTOCOL_` constants.
    pub(crate) protocol: u8,
    /// [`FLAG_KERNEL_SOCKET`] where that holds.
    pub(crate) flags: u8,
    /// Whether its connect is part of a call that sends (`MSG_FASTOPEN`).
    pub(crate) sends: bool,
}

impl Kind {
    /// The call that connects it, one of the `CALL_` constants.
    #[inline(always)]
    pub(crate) fn call(&self) -> u8 {
        if self.sends { CALL_SENDTO } else { CALL_CONNECT }
    }
}

/// What kind of socket it is; none for a protocol that is not watched.
///
/// # Safety
/// As above.
#[inline(always)]
pub(crate) unsafe fn kind<M: Memory>(sock: *const u8) -> Option<Kind> {
    // SAFETY: the caller's promise; the byte holds several bits. Null is not read.
    unsafe {
        let member = setting!(layout.sock_kernel);
        let bits: u8 = if member == 0 { 0 } else { M::read(sock, member) };
        let kernel = (bits >> setting!(layout.sock_kernel_bit)) & 1;
        let flags = if kernel == 1 { FLAG_KERNEL_SOCKET } else { 0 };
        let other = |protocol| Some(Kind { protocol, flags, sends: false });
        match M::read::<u16>(sock, setting!(layout.sock_protocol)) {
            IPPROTO_TCP => {}
            IPPROTO_UDP | IPPROTO_UDPLITE => return other(PROTOCOL_UDP),
            IPPROTO_MPTCP => return other(PROTOCOL_MPTCP),
            _ => return None,
        }
        let tcp = M::tcp(sock);
        if tcp.is_null() {
            return None;
        }
        let (request, mptcp) = (setting!(layout.tcp_fastopen_request), setting!(layout.tcp_is_mptcp));
        let sends = request != 0 && M::read::<u64>(tcp, request) != 0;
        // A path of an MPTCP connection is a socket that the kernel made for somebody.
        Some(if mptcp != 0 && M::read::<u8>(tcp, mptcp) != 0 {
            Kind { protocol: PROTOCOL_MPTCP, flags: 0, sends }
        } else {
            Kind { protocol: PROTOCOL_TCP, flags, sends }
        })
    }
}

/// An integer of a `struct tcp_sock`; 0 where the kernel has no such member (place 0), or the socket is not TCP's.
#[inline(always)]
unsafe fn tcp_member<M: Memory, T: Copy + Default>(sock: *const u8, member: u32) -> T {
    if member == 0 {
        return T::default();
    }
    // SAFETY: the caller's promise, and null is not read.
    unsafe {
        let tcp = M::tcp(sock);
        if tcp.is_null() { T::default() } else { M::read(tcp, member) }
    }
}

/// Whether it is one of MPTCP itself, not a path of it.
///
/// # Safety
/// As above.
#[inline(always)]
pub(crate) unsafe fn is_mptcp<M: Memory>(sock: *const u8) -> bool {
    // SAFETY: the caller's promise.
    unsafe { M::read::<u16>(sock, setting!(layout.sock_protocol)) == IPPROTO_MPTCP }
}

/// The path by which a socket of MPTCP itself connects; null where that cannot be known.
///
/// # Safety
/// As above, and it must be one of MPTCP itself.
#[inline(always)]
pub(crate) unsafe fn first_path(sock: *const u8) -> *const u8 {
    let member = setting!(layout.mptcp_first);
    if member == 0 || setting!(duties.probe_reads) != 1 {
        return null();
    }
    // SAFETY: the caller's promise; such a socket begins a `struct mptcp_sock`.
    unsafe { Probed::read(sock, member) }
}

/// What tells it from every other socket there was, once somebody has asked the kernel for it; else 0.
///
/// # Safety
/// As above.
#[inline(always)]
pub(crate) unsafe fn cookie<M: Memory>(sock: *const u8) -> u64 {
    let member = setting!(layout.sock_cookie);
    // SAFETY: the caller's promise.
    if member == 0 { 0 } else { unsafe { M::read(sock, member) } }
}

/// Where it connects to, and [`FLAG_V4_MAPPED`] where that holds.
///
/// # Safety
/// As above.
#[inline(always)]
pub(crate) unsafe fn destination<M: Memory>(sock: *const u8) -> (Address, u8) {
    // SAFETY: the caller's promise.
    unsafe {
        if family::<M>(sock) == AF_INET6 {
            let address = words::<M>(sock, setting!(layout.sock_destination_v6));
            (address, if is_v4_mapped(&address) { FLAG_V4_MAPPED } else { 0 })
        } else {
            (v4_mapped(M::read(sock, setting!(layout.sock_destination_v4))), 0)
        }
    }
}

/// The address it would send from.
///
/// # Safety
/// As above.
#[inline(always)]
pub(crate) unsafe fn source<M: Memory>(sock: *const u8) -> Address {
    // SAFETY: the caller's promise.
    unsafe {
        if family::<M>(sock) == AF_INET6 {
            words::<M>(sock, setting!(layout.sock_source_v6))
        } else {
            v4_mapped(M::read(sock, setting!(layout.sock_source_v4)))
        }
    }
}

/// Its local port, host byte order.
///
/// # Safety
/// As above.
#[inline(always)]
pub(crate) unsafe fn port<M: Memory>(sock: *const u8) -> u16 {
    // SAFETY: the caller's promise.
    unsafe { M::read(sock, setting!(layout.sock_source_port)) }
}

/// The port it connects to, network byte order.
///
/// # Safety
/// As above.
#[inline(always)]
pub(crate) unsafe fn destination_port_be<M: Memory>(sock: *const u8) -> u16 {
    // SAFETY: the caller's promise.
    unsafe { M::read(sock, setting!(layout.sock_destination_port)) }
}

/// Whether the user chose the source address; true where nobody knows.
///
/// # Safety
/// As above.
#[inline(always)]
pub(crate) unsafe fn address_is_locked<M: Memory>(sock: *const u8) -> bool {
    let member = setting!(layout.sock_locks);
    if member == 0 {
        return true;
    }
    // SAFETY: the caller's promise; the byte may hold other bits below.
    let locks = unsafe { M::read::<u8>(sock, member) };
    (locks >> setting!(layout.sock_locks_shift)) & ADDRESS_LOCKED != 0
}

/// Lowest and highest port that the socket itself allows; zeroes where it sets none, or where it cannot be read: no
/// pointer to a socket of UDP or of MPTCP itself reaches as far for the verifier, so these take
/// `bpf_probe_read_kernel`.
///
/// # Safety
/// As above.
#[inline(always)]
pub(crate) unsafe fn own_range<M: Memory>(sock: *const u8) -> (u16, u16) {
    let member = setting!(layout.sock_own_range);
    if member == 0 {
        return (0, 0);
    }
    // SAFETY: the caller's promise; every socket of these protocols begins with a `struct inet_sock`. Two members on 6.1,
    // two halves of one since 6.8.
    unsafe {
        if M::read::<u16>(sock, setting!(layout.sock_protocol)) == IPPROTO_TCP {
            (tcp_member::<M, u16>(sock, member), tcp_member::<M, u16>(sock, member + 2))
        } else if setting!(duties.probe_reads) == 1 {
            let range: u32 = Probed::read(sock, member);
            (range as u16, (range >> 16) as u16)
        } else {
            (0, 0)
        }
    }
}

/// Lowest and highest port of the namespace's `ip_local_port_range`, at this moment.
///
/// Read without the seqlock that 5.10 to 6.7 take: a change of the setting during these two loads could show
/// one bound old and one new.
///
/// # Safety
/// `net` must be a `struct net` that `M` reads.
#[inline(always)]
pub(crate) unsafe fn namespace_range<M: Memory>(net: *const u8) -> (u16, u16) {
    let offset = setting!(layout.net_port_range);
    // SAFETY: the caller's promise.
    unsafe {
        if setting!(layout.net_port_range_packed) == 1 {
            let range: u32 = M::read(net, offset);
            (range as u16, (range >> 16) as u16)
        } else {
            (M::read::<u32>(net, offset) as u16, M::read::<u32>(net, offset + 4) as u16)
        }
    }
}

/// Whether a search for a local port may ever have succeeded for it; certain only where it has not.
///
/// `sk_txhash` is 0 until then, because `tcp_v4_connect` sets it right after (`sk_set_txhash`, net/ipv4/tcp_ipv4.c, 5.10
/// to 7.3), and so did `tcp_v6_connect`; on 7.3 it is set over IPv6 before the search. `inet_sport` is 0 until a port was
/// found or bound, and stays.
///
/// # Safety
/// As for [`family`].
#[inline(always)]
pub(crate) unsafe fn has_found_port<M: Memory>(sock: *const u8) -> bool {
    // SAFETY: the caller's promise.
    unsafe { M::read::<u32>(sock, setting!(layout.sock_hash)) != 0 && sent_port::<M>(sock) != 0 }
}

/// The local port that it had last, host byte order; it outlives [`port`].
///
/// # Safety
/// As for [`family`].
#[inline(always)]
pub(crate) unsafe fn sent_port<M: Memory>(sock: *const u8) -> u16 {
    // SAFETY: the caller's promise.
    u16::from_be(unsafe { tcp_member::<M, u16>(sock, setting!(layout.sock_sent_port)) })
}
