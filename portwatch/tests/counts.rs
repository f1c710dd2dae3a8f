//! Exact counts on the way: those of all intervals together are the summary's.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails; its line number tells where")]

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::time::Duration;

use portwatch::enrich::Enricher;
use portwatch::event::{Counts, Filter, Item, NetnsId, Row};
use portwatch::kernel::{Tracer, Watch};
use portwatch::source::live::{Live, Until, Wanted};
use portwatch::source::{Source as _, Stop};
use portwatch_tests::netns::{Full, Netns, or_skipped};
use tokio::sync::oneshot;
use tokio::time::timeout;

const INTERVAL: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(30);

fn fail(port: u16, times: usize) {
    (0..times).for_each(|_| assert!(TcpStream::connect(("127.0.0.1", port)).is_err()));
}

/// By port.
fn counts(rows: &[Row]) -> BTreeMap<u16, u64> {
    rows.iter().map(|row| (row.fault.address.port(), row.count)).collect()
}

/// The next counts; none where there are none for some intervals.
async fn next_counts(live: &mut Live) -> Option<Counts> {
    let next = async {
        loop {
            if let Item::Counts(counts) = live.next().await.unwrap().unwrap() {
                return counts;
            }
        }
    };
    timeout(5 * INTERVAL, next).await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_counted_in_all_intervals_is_the_summary_and_silence_is_not_told() {
    let Some(netns) = or_skipped(Netns::with_ports(40000, 40003)) else { return };
    let _full = [Full::new("127.0.0.1:8080", 4).unwrap(), Full::new("127.0.0.1:8081", 4).unwrap()];
    let filter = Filter { netns: Some(NetnsId(u32::try_from(netns.id).unwrap())), ..Filter::default() };
    let tracer = match Tracer::attach(&Watch::new(&filter)) {
        Ok(tracer) => tracer,
        Err(refused) => return println!("skipped: this host cannot be traced: {}", refused.refusal),
    };
    let (stop, stopped) = oneshot::channel();
    let stopped = Box::pin(async { stopped.await.unwrap_or(Stop::AtOnce) });
    let wanted = Wanted {
        filter,
        search_times: false,
        warn_permille: None,
        look: None,
        count_interval: Some(INTERVAL),
        until: Until { stop: stopped, count: None },
    };
    let mut live = Live::new(tracer, Enricher::new("/proc", || {}), wanted).unwrap();
    assert_eq!(next_counts(&mut live).await, None, "nothing has happened");
    fail(8080, 5);
    let first = next_counts(&mut live).await.unwrap();
    assert_eq!(counts(&first.rows), BTreeMap::from([(8080, 5)]));
    fail(8080, 3);
    fail(8081, 2);
    let second = next_counts(&mut live).await.unwrap();
    assert_eq!(counts(&second.rows), BTreeMap::from([(8080, 3), (8081, 2)]));
    assert!(first.to <= second.from && first.from < first.to, "{first:?} {second:?}");
    for row in first.rows.iter().chain(&second.rows) {
        assert_eq!(row.process.tgid.0, std::process::id());
        assert!(row.first <= row.last, "{row:?}");
    }
    assert!(second.rows.iter().all(|row| second.from <= row.last && row.last <= second.to), "{second:?}");
    assert_eq!(next_counts(&mut live).await, None, "nothing more has happened");
    fail(8081, 4);
    stop.send(Stop::AtOnce).unwrap();
    let mut end = Vec::new();
    while let Some(item) = timeout(LONG, live.next()).await.unwrap().unwrap() {
        end.push(item);
    }
    let [.., Item::Counts(last), Item::Summary(summary), Item::End(_)] = &end[..] else { panic!("{end:?}") };
    assert_eq!(counts(&last.rows), BTreeMap::from([(8081, 4)]));
    assert_eq!(counts(&summary.rows), BTreeMap::from([(8080, 8), (8081, 6)]));
    assert_eq!((first.other, second.other, last.other, summary.other), (0, 0, 0, 0));
}
