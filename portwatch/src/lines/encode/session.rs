//! What a stream says of itself: start, losses, what is missing, end. And settings that were changed meanwhile.

use super::Encoder;
use super::failure::nanoseconds;
use crate::event::{
    Destination, End, Errnos, Filter, Lost, Missing, MissingWhy, NoRoom, SettingChange, Start, Suppressed,
};
use crate::lines::words::Word as _;
use crate::lines::write::{Object, array, line, number, object};
use crate::lines::{SCHEMA, errnos};

impl Encoder {
    pub(super) fn start(&mut self, start: &Start, out: &mut Vec<u8>) {
        line(out, "start", |line| {
            line.number("schema", SCHEMA);
            line.string("portwatch", &start.version);
            line.text("host", &start.host);
            line.string("kernel", &start.kernel);
            object(line.name("hooks"), |hooks| {
                start.hooks.iter().for_each(|(name, how)| hooks.named_by_strangers(name, how));
            });
            line.strings("limits", &start.limits);
            self.when(line, start.at);
            line.number("boot_offset_ns", start.boot_offset_ns);
            object(line.name("filters"), |filters| filter(filters, &start.filter));
            line.number_if_known("warn_permille", start.warn_permille);
            line.number_if_known("part", start.part);
            line.number_if_known("first_part", start.first_part);
        });
    }

    pub(super) fn lost(&mut self, lost: Lost, out: &mut Vec<u8>) {
        line(out, "lost", |line| {
            self.time(line, "time", lost.to);
            line.word("reason", lost.reason.word());
            line.number("count", lost.count);
            line.number("from_ns", lost.from.0);
            line.number("to_ns", lost.to.0);
        });
    }

    pub(super) fn suppressed(&mut self, suppressed: Suppressed, out: &mut Vec<u8>) {
        line(out, "suppressed", |line| {
            self.time(line, "time", suppressed.to);
            line.number("count", suppressed.count);
            line.number("from_ns", suppressed.from.0);
            line.number("to_ns", suppressed.to.0);
        });
    }

    pub(super) fn sysctl(&mut self, change: &SettingChange, out: &mut Vec<u8>) {
        line(out, "sysctl", |line| {
            self.when(line, change.at);
            line.text("key", &change.key);
            line.number("netns", change.netns.0);
            if let Some(old) = &change.old {
                line.string("old", old);
            }
            line.string("new", &change.new);
            if let Some(by) = &change.by {
                self.process(line, by);
            }
        });
    }
}

fn filter(fields: &mut Object<'_>, filter: &Filter) {
    fields.number_if_known("pid", filter.tgid.map(|tgid| tgid.0));
    if let Some(comm) = &filter.comm {
        fields.text("comm", comm);
    }
    if let Some(destination) = filter.destination {
        there(fields, "destination", destination);
    }
    fields.number_if_known("netns", filter.netns.map(|netns| netns.0));
    if let Some(cgroup) = &filter.cgroup {
        fields.number("cgroup", cgroup.id.0);
        fields.text("cgroup_path", &cgroup.path);
    }
    match &filter.errnos {
        Errnos::Shortage => fields.word("errno", "shortage"),
        Errnos::All => fields.word("errno", "all"),
        Errnos::These(these) => array(fields.name("errno"), these, |out, errno| {
            errnos::with_name(*errno, |name| {
                out.push(b'"');
                out.extend_from_slice(name.as_bytes());
                out.push(b'"');
            });
        }),
    }
}

/// The one object with fields that are `null`.
pub(super) fn there(fields: &mut Object<'_>, name: &str, Destination { network, port }: Destination) {
    object(fields.name(name), |there| {
        match network {
            Some(network) => there.word("network", &network.to_string()),
            None => there.name("network").extend_from_slice(b"null"),
        }
        let out = there.name("port");
        match port {
            Some(port) => number(out, port),
            None => out.extend_from_slice(b"null"),
        }
    });
}

pub(super) fn missing(missing: &Missing, out: &mut Vec<u8>) {
    line(out, "missing", |line| {
        line.string("why", missing.why.word());
        if let MissingWhy::NotWritten(error) | MissingWhy::Unreadable(error) = &missing.why {
            line.string("error", error);
        }
        if let MissingWhy::NewerSchema(schema) = missing.why {
            line.number("schema", schema);
        }
        if let Some(file) = &missing.file {
            line.text("file", file);
        }
        line.count("lines", missing.lines);
        line.count("bytes", missing.bytes);
    });
}

pub(super) fn end(end: &End, out: &mut Vec<u8>) {
    line(out, "end", |line| {
        line.number("failures", end.failures);
        line.number("delivered", end.delivered);
        line.number("suppressed", end.suppressed);
        line.count("beyond_count", end.beyond_count);
        object(line.name("lost"), |lost| {
            end.lost.iter().for_each(|(why, count)| lost.number(why.word(), *count));
        });
        line.number_if_known("skipped_runs", end.skipped_runs);
        line.number_if_known("possibly_missed", end.possibly_missed);
        line.number_if_known("owners", end.owners);
        if end.no_room != NoRoom::default() {
            object(line.name("no_room"), |fields| no_room(fields, end.no_room));
        }
        line.count("sysctls_lost", end.sysctls_lost);
        line.count("lookups_unanswered", end.lookups_unanswered);
        line.number("watched_ns", nanoseconds(end.watched));
    });
}

/// What had no room; what had some is absent.
fn no_room(fields: &mut Object<'_>, NoRoom { callers, details, repeats, owners }: NoRoom) {
    fields.count("callers", callers);
    fields.count("details", details);
    fields.count("repeats", repeats);
    fields.count("owners", owners);
}
