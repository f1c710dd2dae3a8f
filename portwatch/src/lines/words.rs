//! The words of lines for what is one of a few.
//!
//! In: a value or a word. Out: the other. Must not know: in which field it stands.

use crate::event::{Call, LossReason, Protocol, Runtime, SocketState, Stage};

/// What has one word for each of its values.
pub trait Word: Copy + 'static {
    /// What it is, for a complaint.
    const NAME: &'static str;
    /// Every value.
    const ALL: &'static [Self];

    /// Its word.
    fn word(self) -> &'static str;

    /// The value that has this word.
    fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.word() == word)
    }
}

impl Word for Call {
    const NAME: &'static str = "call";
    const ALL: &'static [Self] = &[Self::Connect, Self::Bind, Self::Sendto];

    fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Bind => "bind",
            Self::Sendto => "sendto",
        }
    }
}

impl Word for Protocol {
    const NAME: &'static str = "protocol";
    const ALL: &'static [Self] = &[Self::Tcp, Self::Udp, Self::Mptcp];

    fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Mptcp => "mptcp",
        }
    }
}

impl Word for Stage {
    const NAME: &'static str = "stage";
    const ALL: &'static [Self] = &[
        Self::PortSearch,
        Self::OutsidePortSearch,
        Self::Bind,
        Self::Autobind,
        Self::SocketLayer,
        Self::Network,
        Self::Unknown,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::PortSearch => "port_search",
            Self::OutsidePortSearch => "outside_port_search",
            Self::Bind => "bind",
            Self::Autobind => "autobind",
            Self::SocketLayer => "socket_layer",
            Self::Network => "network",
            Self::Unknown => "unknown",
        }
    }
}

impl Word for LossReason {
    const NAME: &'static str = "reason";
    const ALL: &'static [Self] =
        &[Self::RingFull, Self::QueueFull, Self::MalformedRecord, Self::Unaccounted, Self::SkippedRun];

    fn word(self) -> &'static str {
        match self {
            Self::RingFull => "ring_full",
            Self::QueueFull => "queue_full",
            Self::MalformedRecord => "malformed_record",
            Self::Unaccounted => "unaccounted",
            Self::SkippedRun => "skipped_run",
        }
    }
}

impl Word for Runtime {
    const NAME: &'static str = "runtime";
    const ALL: &'static [Self] = &[Self::Docker, Self::Containerd, Self::CriO, Self::Podman, Self::Lxc];

    fn word(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
            Self::Lxc => "lxc",
        }
    }
}

impl Word for SocketState {
    const NAME: &'static str = "state";
    const ALL: &'static [Self] = &[
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait1,
        Self::FinWait2,
        Self::TimeWait,
        Self::CloseWait,
        Self::LastAck,
        Self::Closing,
        Self::Listen,
        Self::Bound,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::SynSent => "syn_sent",
            Self::SynRecv => "syn_recv",
            Self::FinWait1 => "fin_wait1",
            Self::FinWait2 => "fin_wait2",
            Self::TimeWait => "time_wait",
            Self::CloseWait => "close_wait",
            Self::LastAck => "last_ack",
            Self::Closing => "closing",
            Self::Listen => "listen",
            Self::Bound => "bound",
        }
    }
}
