//! Rows: of failures by who and where, of searches by where.

use std::net::{IpAddr, SocketAddr};

use super::Encoder;
use super::failure::{destination, nanoseconds};
use crate::event::{
    Call, Counts, NetnsId, RecentSearch, RecentSearches, Row, SearchRow, SearchTimes, Searches, Summary,
};
use crate::lines::write::{Object, array, line, object};

impl Encoder {
    pub(super) fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        line(out, "summary", |line| {
            self.rows(&summary.rows, line.name("rows"));
            line.number("other", summary.other);
        });
    }

    pub(super) fn counts(&mut self, counts: &Counts, out: &mut Vec<u8>) {
        line(out, "counts", |line| {
            self.time(line, "time", counts.to);
            line.number("from_ns", counts.from.0);
            line.number("to_ns", counts.to.0);
            self.rows(&counts.rows, line.name("rows"));
            line.number("other", counts.other);
        });
    }

    pub(super) fn rows(&mut self, rows: &[Row], out: &mut Vec<u8>) {
        array(out, rows, |out, row| object(out, |fields| self.row(fields, row)));
    }

    fn row(&mut self, fields: &mut Object<'_>, row: &Row) {
        self.process(fields, &row.process);
        fields.number("netns", row.netns.0);
        self.fault(fields, &row.fault);
        if row.fault.call == Call::Bind {
            fields.endpoint("source", row.fault.address);
        }
        fields.endpoint("destination", destination(&row.fault));
        fields.number("count", row.count);
        self.time(fields, "first", row.first);
        self.time(fields, "last", row.last);
    }

    pub(super) fn recent_searches(&mut self, recent: &RecentSearches, out: &mut Vec<u8>) {
        line(out, "recent_searches", |line| {
            self.time(line, "time", recent.to);
            line.number("from_ns", recent.from.0);
            line.number("to_ns", recent.to.0);
            array(line.name("rows"), &recent.rows, |out, search| {
                let RecentSearch { netns, source, destination, count, slow, average } = *search;
                object(out, |fields| {
                    searched(fields, netns, source, destination);
                    fields.number("count", count);
                    fields.number("slow", slow);
                    fields.number("average_ns", nanoseconds(average));
                });
            });
        });
    }
}

pub(super) fn searches(searches: &Searches, out: &mut Vec<u8>) {
    line(out, "searches", |line| {
        array(line.name("rows"), &searches.rows, |out, row| {
            let SearchRow { netns, source, destination, times } = row;
            object(out, |fields| {
                searched(fields, *netns, *source, *destination);
                search_times(fields, times);
            });
        });
        object(line.name("other"), |fields| search_times(fields, &searches.other));
        line.number("unmeasured", searches.unmeasured);
    });
}

/// Where ports were searched for.
fn searched(fields: &mut Object<'_>, netns: NetnsId, source: IpAddr, destination: SocketAddr) {
    fields.number("netns", netns.0);
    fields.address("source", source);
    fields.endpoint("destination", destination);
}

fn search_times(fields: &mut Object<'_>, times: &SearchTimes) {
    fields.number("count", times.count);
    fields.number("slow", times.slow);
    fields.number("average_ns", nanoseconds(times.average()));
    fields.number("longest_ns", nanoseconds(times.longest));
    // The average is rounded.
    fields.number("total_ns", nanoseconds(times.total));
}
