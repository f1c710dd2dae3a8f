//! What the other side of a connection says, made by hand: TCP over IPv4 on loopback, where nobody answers by himself.
//!
//! In: a namespace with a route by `lo` to an address that it does not have. Out: the packets that go there, and
//! answers as routers and peers send them.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use socket2::{Domain, Protocol, Socket, Type};

/// `ETH_P_IP`, include/uapi/linux/if_ether.h.
const ETH_P_IP: u16 = 0x0800;
/// Destination unreachable, and of its codes "host unreachable" (RFC 792).
const UNREACHABLE: [u8; 2] = [3, 1];
/// Longer than any emulator takes for one packet.
const PATIENCE: Duration = Duration::from_secs(20);

/// Flags of a segment, in the byte that has them (RFC 9293).
pub const SYN: u8 = 0x02;
/// Ends the connection.
pub const RST: u8 = 0x04;
/// The acknowledgement counts.
pub const ACK: u8 = 0x10;

/// The packets of this namespace's loopback.
#[derive(Debug)]
pub struct Wire {
    seen: Socket,
}

/// A segment that went over the wire.
#[derive(Debug, Clone, Copy)]
pub struct Segment {
    /// Its sender.
    pub from: SocketAddrV4,
    /// Its receiver.
    pub to: SocketAddrV4,
    /// Sequence number.
    pub sequence: u32,
    /// What it acknowledges.
    pub acknowledged: u32,
    /// [`SYN`] and others.
    pub flags: u8,
    /// The header of the packet, and the first eight bytes of the segment: what routers send back.
    quoted: [u8; 28],
}

impl Wire {
    /// Sees what follows.
    ///
    /// # Errors
    /// Without root.
    pub fn new() -> Result<Self> {
        let protocol = Protocol::from(i32::from(ETH_P_IP.to_be()));
        let seen = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol)).context("see packets")?;
        seen.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { seen })
    }

    /// The next segment to there.
    ///
    /// # Errors
    /// When none comes.
    pub fn next_to(&self, destination: SocketAddr) -> Result<Segment> {
        let mut packet = [0; 2048];
        loop {
            let length = (&self.seen).read(&mut packet).context("wait for a packet")?;
            match packet.get(..length).and_then(Segment::read) {
                Some(segment) if SocketAddr::from(segment.to) == destination => return Ok(segment),
                _ => {}
            }
        }
    }
}

impl Segment {
    /// From a packet of IPv4; none for one that is not TCP, or has options in its header.
    fn read(packet: &[u8]) -> Option<Self> {
        let (&[0x45, _, _, _, _, _, _, _, _, 6, _, _, s0, s1, s2, s3, d0, d1, d2, d3], rest) =
            packet.split_first_chunk::<20>()?
        else {
            return None;
        };
        let (&[p0, p1, q0, q1, n0, n1, n2, n3, a0, a1, a2, a3, _, flags], _) = rest.split_first_chunk()?;
        Some(Self {
            from: SocketAddrV4::new(Ipv4Addr::new(s0, s1, s2, s3), u16::from_be_bytes([p0, p1])),
            to: SocketAddrV4::new(Ipv4Addr::new(d0, d1, d2, d3), u16::from_be_bytes([q0, q1])),
            sequence: u32::from_be_bytes([n0, n1, n2, n3]),
            acknowledged: u32::from_be_bytes([a0, a1, a2, a3]),
            flags,
            quoted: *packet.first_chunk()?,
        })
    }

    /// Tells its sender, as a router does, that its receiver cannot be reached.
    ///
    /// # Errors
    /// Without root.
    pub fn answer_unreachable(&self) -> Result<()> {
        let mut message = [&UNREACHABLE[..], &[0; 6], &self.quoted].concat();
        let sum = checksum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).context("speak ICMP")?;
        let to = SocketAddrV4::new(*self.from.ip(), 0);
        socket.send_to(&message, &to.into()).context("send an ICMP message").map(drop)
    }

    /// Sends its sender a segment, as if from its receiver.
    ///
    /// # Errors
    /// Without root.
    pub fn answer(&self, flags: u8, sequence: u32, acknowledged: u32) -> Result<()> {
        let (from, to) = (self.to, self.from);
        let mut segment = [
            &from.port().to_be_bytes()[..],
            &to.port().to_be_bytes(),
            &sequence.to_be_bytes(),
            &acknowledged.to_be_bytes(),
            // Twenty bytes of header; a window; checksum and urgent pointer.
            &[5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0],
        ]
        .concat();
        let length = u16::try_from(segment.len())?;
        let (source, destination) = (from.ip().octets(), to.ip().octets());
        let pseudo = [&source[..], &destination, &[0, 6], &length.to_be_bytes(), &segment].concat();
        let sum = checksum(&pseudo).to_be_bytes();
        segment[16..18].copy_from_slice(&sum);
        // The kernel fills in length, identification and checksum of the header.
        let header = [&[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0][..], &source, &destination].concat();
        let packet = [header, segment].concat();
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(nix::libc::IPPROTO_RAW)))
            .context("make packets")?;
        let sent =
            socket.send_to(&packet, &SocketAddrV4::new(*to.ip(), 0).into()).context("send a packet")?;
        if sent != packet.len() {
            bail!("{sent} of {} bytes were sent", packet.len());
        }
        Ok(())
    }
}

/// The Internet checksum (RFC 1071) of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let [_, _, high, low] = ((folded & 0xffff) + (folded >> 16)).to_be_bytes();
    !u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_rfcs_example() {
        // RFC 1071, section 3.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }
}
