//! An address that is listened on.
//!
//! In: an address. Out: a socket, or why there is none and what helps. Must not know: what is told there.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};

/// Clients wait here until they are answered.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    /// With the port that the system chose where 0 was asked for.
    address: SocketAddr,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address}: {error}\nhint: {}", hint(error.kind()))]
pub struct NotListening {
    address: SocketAddr,
    error: io::Error,
}

impl Listening {
    /// Listens there.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn on(address: SocketAddr) -> Result<Self, NotListening> {
        let listen = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        listen().map_err(|error| NotListening { address, error })
    }

    /// Where.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn into_listener(self) -> TcpListener {
        self.listener
    }
}

fn hint(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::AddrInUse => "another program listens there (`ss -ltnp` names it): choose another port",
        ErrorKind::AddrNotAvailable => "this host or network namespace has no such address",
        ErrorKind::PermissionDenied => "ports below 1024 take privileges: choose another port",
        _ => "choose another address, such as 127.0.0.1:7678",
    }
}

#[cfg(test)]
mod tests {
    use super::Listening;

    #[test]
    fn what_cannot_be_listened_on_is_said_with_what_helps() {
        let taken = Listening::on(([127, 0, 0, 1], 0).into()).unwrap();
        let refusal = |address| Listening::on(address).unwrap_err().to_string();
        let again = refusal(taken.address());
        assert!(again.starts_with(&format!("listen on {}: ", taken.address())), "{again}");
        assert!(again.contains("\nhint: another program listens there"), "{again}");
        // TEST-NET-1 (RFC 5737).
        let foreign = refusal(([192, 0, 2, 1], 7678).into());
        assert!(foreign.contains("\nhint: this host or network namespace has no such address"), "{foreign}");
    }
}
