//! Rows: of failures by who and where, of searches by where.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::NoItem;
use super::bounded::{Bounded, Weigh};
use super::failure::Endpoint;
use super::strings::Of;
use super::who::{Who, heap_of};
use crate::clock::Clock;
use crate::event::{
    BootNs, Call, Counts, Errno, Fault, NetnsId, Protocol, RecentSearch, RecentSearches, Row, SearchRow,
    SearchTimes, Searches, Stage, Summary,
};

/// More than the kernel's table has places: 24,576.
const MOST_ROWS: usize = 32_768;

#[derive(Deserialize)]
struct RowFields {
    process: Who,
    netns: u32,
    call: Of<Call>,
    protocol: Of<Protocol>,
    errno_code: u16,
    stage: Of<Stage>,
    had_port: bool,
    #[serde(default)]
    v4_mapped: bool,
    #[serde(default)]
    kernel_socket: bool,
    source: Option<Endpoint>,
    destination: Endpoint,
    count: u64,
    first: Of<Timestamp>,
    last: Of<Timestamp>,
}

/// A row whose instants are still times of day.
struct Timed {
    row: Row,
    first: Timestamp,
    last: Timestamp,
}

impl<'de> Deserialize<'de> for Timed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = RowFields::deserialize(deserializer)?;
        let wanted = match fields.call.0 {
            Call::Bind => fields.source.ok_or_else(|| D::Error::missing_field("source"))?,
            Call::Connect | Call::Sendto => fields.destination,
        };
        let fault = Fault {
            call: fields.call.0,
            protocol: fields.protocol.0,
            errno: Errno(fields.errno_code),
            stage: fields.stage.0,
            had_port: fields.had_port,
            address: wanted.into(),
            v4_mapped: fields.v4_mapped,
            kernel_socket: fields.kernel_socket,
        };
        let row = Row {
            process: fields.process.0,
            netns: NetnsId(fields.netns),
            fault,
            count: fields.count,
            first: BootNs::default(),
            last: BootNs::default(),
        };
        Ok(Self { row, first: fields.first.0, last: fields.last.0 })
    }
}

impl Weigh for Timed {
    fn heap(&self) -> usize {
        heap_of(&self.row.process)
    }
}

fn rows(rows: Bounded<Timed, MOST_ROWS>, clock: Clock) -> Result<Vec<Row>, NoItem> {
    let instant = |name, time| {
        clock.instant(time).ok_or_else(|| NoItem::Malformed(format!("`{name}` of a row lies before boot")))
    };
    let row = |Timed { row, first, last }| {
        Ok(Row { first: instant("first", first)?, last: instant("last", last)?, ..row })
    };
    rows.0.into_iter().map(row).collect()
}

/// Those of `summary`.
#[derive(Deserialize)]
pub(super) struct SummaryFields {
    rows: Bounded<Timed, MOST_ROWS>,
    other: u64,
}

impl SummaryFields {
    pub(super) fn summary(self, clock: Clock) -> Result<Summary, NoItem> {
        Ok(Summary { rows: rows(self.rows, clock)?, other: self.other })
    }
}

/// Those of `counts`.
#[derive(Deserialize)]
pub(super) struct CountsFields {
    from_ns: u64,
    to_ns: u64,
    rows: Bounded<Timed, MOST_ROWS>,
    other: u64,
}

impl CountsFields {
    pub(super) fn counts(self, clock: Clock) -> Result<Counts, NoItem> {
        let rows = rows(self.rows, clock)?;
        Ok(Counts { from: BootNs(self.from_ns), to: BootNs(self.to_ns), rows, other: self.other })
    }
}

/// Those of `searches`.
#[derive(Deserialize)]
pub(super) struct SearchesFields {
    rows: Bounded<SearchFields, MOST_ROWS>,
    other: TimesFields,
    unmeasured: u64,
}

#[derive(Deserialize)]
struct SearchFields {
    netns: u32,
    source: IpAddr,
    destination: Endpoint,
    count: u64,
    slow: u64,
    average_ns: u64,
    longest_ns: u64,
    total_ns: Option<u64>,
}

impl Weigh for SearchFields {
    fn heap(&self) -> usize {
        0
    }
}

#[derive(Deserialize)]
struct TimesFields {
    count: u64,
    slow: u64,
    average_ns: u64,
    longest_ns: u64,
    total_ns: Option<u64>,
}

impl From<TimesFields> for SearchTimes {
    fn from(TimesFields { count, slow, average_ns, longest_ns, total_ns }: TimesFields) -> Self {
        // Older versions wrote the average only.
        let total = total_ns.unwrap_or_else(|| average_ns.saturating_mul(count));
        Self { count, slow, total: Duration::from_nanos(total), longest: Duration::from_nanos(longest_ns) }
    }
}

impl From<SearchFields> for SearchRow {
    fn from(fields: SearchFields) -> Self {
        let SearchFields { netns, source, destination, count, slow, average_ns, longest_ns, total_ns } =
            fields;
        Self {
            netns: NetnsId(netns),
            source,
            destination: destination.into(),
            times: TimesFields { count, slow, average_ns, longest_ns, total_ns }.into(),
        }
    }
}

impl From<SearchesFields> for Searches {
    fn from(fields: SearchesFields) -> Self {
        Self { rows: fields.rows.into(), other: fields.other.into(), unmeasured: fields.unmeasured }
    }
}

/// Those of `recent_searches`.
#[derive(Deserialize)]
pub(super) struct RecentFields {
    from_ns: u64,
    to_ns: u64,
    rows: Bounded<RecentRow, MOST_ROWS>,
}

#[derive(Deserialize)]
struct RecentRow {
    netns: u32,
    source: IpAddr,
    destination: Endpoint,
    count: u64,
    slow: u64,
    average_ns: u64,
}

impl Weigh for RecentRow {
    fn heap(&self) -> usize {
        0
    }
}

impl From<RecentRow> for RecentSearch {
    fn from(row: RecentRow) -> Self {
        Self {
            netns: NetnsId(row.netns),
            source: row.source,
            destination: SocketAddr::from(row.destination),
            count: row.count,
            slow: row.slow,
            average: Duration::from_nanos(row.average_ns),
        }
    }
}

impl From<RecentFields> for RecentSearches {
    fn from(fields: RecentFields) -> Self {
        Self { from: BootNs(fields.from_ns), to: BootNs(fields.to_ns), rows: fields.rows.into() }
    }
}
