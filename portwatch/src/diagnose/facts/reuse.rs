//! Which ports in TIME_WAIT an outgoing connection may take over.
//!
//! In: settings, whether it is loopback, a row. Out: whether, after which time, and how many ports are left that nobody can
//! have. Must not know: rules, who asks.
//!
//! `tcp_twsk_unique` (net/ipv4/tcp_ipv4.c) lets a connect() take a port in TIME_WAIT if the old connection used timestamps,
//! `tcp_tw_reuse` allows it, and a second (`tcp_tw_reuse_delay`) has passed. Whether the other end uses timestamps no socket
//! table tells.

use std::time::Duration;

use super::{COUNTED, Facts};
use crate::event::{Occupancy, Protocol, Settings, SocketState};

/// Youngest TIME_WAIT that `tcp_tw_reuse` lets go, before Linux 6.14 made a setting of it (`tcp_tw_reuse_delay`).
const DELAY: Duration = Duration::from_secs(1);
/// Kernels before that compare whole seconds, which may take so much longer.
const UNTIL_NEXT_SECOND: Duration = Duration::from_secs(1);

/// Youngest TIME_WAIT that may be taken over where that is allowed.
pub(super) fn delay(settings: &Settings) -> Duration {
    settings.tcp_tw_reuse_delay_ms.map_or(DELAY, |delay| Duration::from_millis(delay.into()))
}

/// Whether this side lets a port in TIME_WAIT be taken over early; `is_loopback` by either address. The other side must use
/// timestamps too.
pub(super) fn is_allowed(settings: &Settings, is_loopback: Option<bool>) -> Option<bool> {
    match (settings.tcp_tw_reuse?, settings.tcp_timestamps) {
        (0, _) | (_, Some(false)) => Some(false),
        (1, timestamps) => timestamps,
        (_, timestamps) => {
            if is_loopback? {
                timestamps
            } else {
                Some(false)
            }
        }
    }
}

/// Ports of a row that no new connection of its kind can have: those used, without the ones in TIME_WAIT that a connect()
/// may take over. As many of these are taken for too young as may be.
pub(in crate::diagnose) fn blocked(row: &Occupancy, settings: &Settings) -> u32 {
    let ends = row.source.zip(row.destination).filter(|_| row.protocol != Protocol::Udp);
    let is_loopback = ends.map(|(from, to)| from.is_loopback() || to.ip().is_loopback());
    if ends.is_none() || is_allowed(settings, is_loopback) != Some(true) {
        return row.used;
    }
    let waiting = Facts::in_states(row, &[SocketState::TimeWait]).min(row.used);
    row.used - waiting + too_young(row, settings).map_or(waiting, |young| young.min(waiting))
}

/// How many of a row's ports in TIME_WAIT cannot be taken over yet; none where that is not known, as nobody has counted those
/// that are older.
fn too_young(row: &Occupancy, settings: &Settings) -> Option<u32> {
    let ended = u128::from(row.time_wait?.last_10_s);
    let margin = if settings.tcp_tw_reuse_delay_ms.is_none() { UNTIL_NEXT_SECOND } else { Duration::ZERO };
    let delay = delay(settings) + margin;
    let young = (ended * delay.as_millis()).div_ceil(COUNTED.as_millis());
    u32::try_from(young).ok().filter(|_| delay <= COUNTED)
}

#[cfg(test)]
mod tests {
    use super::blocked;
    use crate::diagnose::facts::example::{healthy, row};
    use crate::event::{Occupancy, Protocol, Settings, SocketState, TimeWait};

    #[test]
    fn what_may_be_taken_over_from_time_wait_is_in_nobodys_way() {
        let settings = |tcp_tw_reuse, tcp_tw_reuse_delay_ms| Settings {
            tcp_tw_reuse: Some(tcp_tw_reuse),
            tcp_tw_reuse_delay_ms,
            ..healthy().settings
        };
        let states = [(SocketState::TimeWait, 20_000), (SocketState::Established, 500)];
        let time_wait = Some(TimeWait { last_10_s: 3_333, over_in_s: 60 });
        let far = Occupancy { time_wait, ..row(&states) };
        let near = Occupancy { destination: Some(([127, 0, 0, 1], 80).into()), ..far.clone() };
        let no_timestamps = Settings { tcp_timestamps: Some(false), ..settings(1, None) };
        let cases = [
            ("it is off", &far, settings(0, None), 20_500),
            ("it is on loopback only", &far, settings(2, None), 20_500),
            // Two seconds' worth, as older kernels count whole ones.
            ("this is loopback", &near, settings(2, None), 500 + 667),
            ("it is on", &far, settings(1, None), 500 + 667),
            ("it is on, by milliseconds", &far, settings(1, Some(1_000)), 500 + 334),
            ("at once", &far, settings(1, Some(0)), 500),
            ("after ten seconds", &far, settings(1, Some(10_000)), 500 + 3_333),
            ("after longer than is counted", &far, settings(1, Some(10_001)), 20_500),
            ("without timestamps", &far, no_timestamps, 20_500),
            ("nothing is known", &far, Settings::default(), 20_500),
        ];
        for (what, row, settings, expected) in cases {
            assert_eq!(blocked(row, &settings), expected, "{what}");
        }
        // Nobody takes over what a bind() asks for, or UDP.
        let bind = Occupancy { destination: None, ..near.clone() };
        let udp = Occupancy { protocol: Protocol::Udp, ..near.clone() };
        let open = row(&[(SocketState::Established, 20_500)]);
        for row in [bind, udp, open] {
            assert_eq!(blocked(&row, &settings(1, None)), 20_500, "{row:?}");
        }
    }
}
