//! Names that processes chose to do harm: two hundred by hand, a thousand by a generator that always yields the same; and
//! recordings of processes that have them.

use std::sync::Arc;
use std::time::Duration;

use portwatch::event::{
    BootNs, Call, Cgroup, CgroupId, Container, Details, End, Errno, Failure, Fault, Filter, Holder, Holding,
    Item, Missing, MissingWhy, Namespace, NetnsId, Occupancy, Pod, PodName, PortRange, Process, Protocol,
    Row, Runtime, Scope, SettingChange, Settings, Snapshot, SocketState, Stage, Start, State, Summary, Text,
    Tgid, Tid,
};

/// Says which names these are, should a test fail.
pub(crate) const SEED: u64 = 0x706f_7274_7761_7463;
/// A report remembers so many bytes of a name.
const LONGEST: usize = 64;
const RANDOM: usize = 1000;
const NETNS: NetnsId = NetnsId(4_026_531_840);
const RANGE: PortRange = PortRange { low: 32768, high: 60999 };

/// Forty, each of which is put into five surroundings.
const CRAFTED: [&[u8]; 40] = [
    // Sequences of ECMA-48: clear, move, colour, insert; strings for the terminal itself; and those by one byte.
    b"\x1b[2J\x1b[H",
    b"\x1b[31;5mred",
    b"\x1b[6n",
    b"\x1b]0;title\x07",
    b"\x1b]52;c;cm0gLXJm\x1b\\",
    b"\x1b]8;;http://x/\x1b\\link",
    b"\x1bP+q544e\x1b\\",
    b"\x1b_apc\x1b\\\x1b^pm\x1b\\",
    b"\x1bc\x1b(0",
    b"\x1b[?1049h\x1b[?25l",
    "\u{9b}2J\u{9d}0;x\u{9c}\u{90}q\u{9c}".as_bytes(),
    b"\x9b31m\x9d0;x\x9c",
    // What is not ended takes what follows with it.
    b"\x1b[",
    b"\x1b]0;",
    b"\x1bP",
    b"\x0e\x0f\x05\x08\x7f",
    // Lines and columns.
    b"a\nb",
    b"a\r\nb\x0b\x0c",
    b"overwritten\rby",
    b"tab\tbed",
    b"a\0b",
    "\u{85}\u{2028}\u{2029}".as_bytes(),
    // What turns text around, or cannot be seen.
    "a\u{202e}cod.exe\u{202c}".as_bytes(),
    "\u{2066}\u{2067}\u{2069}\u{200f}\u{61c}".as_bytes(),
    "\u{200b}\u{200d}\u{2060}\u{feff}\u{ad}".as_bytes(),
    "\u{e0041}\u{e007f}\u{fe0f}\u{180e}".as_bytes(),
    "e\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}\u{309}\u{30a}".as_bytes(),
    "\u{ff21}\u{6771}\u{4eac}\u{1f600}\u{1f1e9}\u{1f1ea}".as_bytes(),
    // Not UTF-8: cut, too long, a surrogate, beyond the end.
    b"\xff\xfe\xe6\x9d",
    b"\xc0\xaf\xed\xa0\x80\xf5\x80\x80\x80",
    // For a browser.
    b"<script>alert(1)</script>",
    b"\"><img src=x onerror=alert(1)>",
    b"' onmouseover='x",
    b"</style></title></svg><!--",
    b"&lt;b&gt;&#x3c;i&#x3e;&amp;",
    b"]]>javascript:{{7*7}}${7*7}",
    // For a spreadsheet, a formatter, a shell, a parser of JSON.
    b"=cmd|' /C calc'!A0,\"x\",@SUM(1)",
    b"%s%n%x{}{0}{:?}",
    b"$(id)`id`;|&\\x1b[31m\\",
    b"{\"type\":\"end\"}\\u0000\\ud800",
];

/// Bytes that mean something to somebody.
const HARM: &[u8; 19] = b"\x1b[]\\\"'<>&;=%{}\n\r\0mP";

/// All of them: of 1 to [`LONGEST`] bytes, no two the same.
pub(crate) fn names() -> Vec<Vec<u8>> {
    let around = |name: &&[u8]| {
        let doubled = [*name, *name].concat();
        [name.to_vec(), [b"x", *name].concat(), [*name, b"<"].concat(), [*name, b"\""].concat(), doubled]
    };
    let mut names: Vec<Vec<u8>> = CRAFTED.iter().flat_map(around).collect();
    names.iter_mut().for_each(|name| name.truncate(LONGEST));
    let crafted = names.len();
    let mut dice = Dice(SEED);
    while names.len() < crafted + RANDOM {
        let name = dice.name();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// xorshift64*.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        u32::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32).unwrap() % end
    }

    /// Bytes, characters of anywhere, and pieces of what was crafted, mixed.
    fn name(&mut self) -> Vec<u8> {
        let length = 1 + self.below(24);
        let mut name = Vec::new();
        for _ in 0..length {
            match self.below(4) {
                0 => name.push(self.below(256).try_into().unwrap()),
                1 => name.push(HARM[self.below(19) as usize]),
                2 => {
                    let character = char::from_u32(self.below(0x11_0000)).unwrap_or('\u{9b}');
                    name.extend(character.to_string().bytes());
                }
                _ => {
                    let piece = CRAFTED[self.below(40) as usize];
                    let from = self.below(u32::try_from(piece.len()).unwrap()) as usize;
                    name.extend(piece[from..].iter().take(4));
                }
            }
        }
        name.truncate(LONGEST);
        name
    }
}

fn at(ms: u64) -> BootNs {
    BootNs(ms * 1_000_000)
}

fn text(name: &[u8]) -> Text {
    Text(name.to_vec())
}

fn words(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn process(tgid: u32, name: &[u8]) -> Process {
    let state = State::Alive {
        exe: Some(Text([b"/opt/", name].concat())),
        cmdline: Some(vec![text(name), text(b"--name"), text(name)]),
    };
    let pod = PodName { namespace: text(name), name: text(name) };
    let details = Details {
        state,
        user: Some(text(name)),
        unit: Some(text(name)),
        container: Some(Container { id: text(name), runtime: Some(Runtime::Docker), name: Some(text(name)) }),
        pod: Some(Pod { uid: text(name), name: Some(pod) }),
    };
    Process {
        tgid: Tgid(tgid),
        start: BootNs(tgid.into()),
        tid: Some(Tid(tgid)),
        comm: text(name),
        uid: 1000,
        gid: 1000,
        cgroup: CgroupId(77),
        details: Arc::new(details),
    }
}

const FAULT: Fault = Fault {
    call: Call::Connect,
    protocol: Protocol::Tcp,
    errno: Errno::EADDRNOTAVAIL,
    stage: Stage::PortSearch,
    had_port: false,
    address: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), 443),
    v4_mapped: false,
    kernel_socket: false,
};

/// Wherever a recording has a string that is not portwatch's own, there is one of `names`.
pub(crate) fn recording(names: &[Vec<u8>]) -> Vec<Item> {
    let name = |index: usize| names[index % names.len()].as_slice();
    let failing: Vec<Process> = names.iter().zip(1..).map(|(name, tgid)| process(tgid, name)).collect();
    let mut items = vec![Item::Start(Start {
        version: words(name(0)),
        host: text(name(1)),
        kernel: words(name(2)),
        hooks: vec![(words(name(3)), words(name(4)))],
        limits: vec![words(name(5))],
        at: at(0),
        boot_offset_ns: 1_700_000_000_000_000_000,
        filter: Filter {
            comm: Some(text(name(6))),
            cgroup: Some(Cgroup { id: CgroupId(77), path: text(name(7)) }),
            ..Filter::default()
        },
        warn_permille: Some(800),
        part: None,
        first_part: None,
    })];
    items.extend(failing.iter().zip(1..).map(|(process, ms)| {
        Item::Failure(Failure {
            at: at(ms),
            fault: FAULT,
            process: process.clone(),
            netns: NETNS,
            source: ([10, 0, 0, 1], 0).into(),
            port_range: RANGE,
            own_range: None,
            search: None,
        })
    }));
    items.push(Item::Ports(snapshot(&failing)));
    items.push(Item::Sysctl(SettingChange {
        at: at(3000),
        key: Text([b"net/ipv4/conf/", name(8), b"/forwarding"].concat()),
        netns: NETNS,
        old: Some(words(name(9))),
        new: words(name(0)),
        by: Some(process(1, name(1))),
    }));
    items.push(Item::Missing(Missing::of(Some(text(name(2))), MissingWhy::NotWritten(words(name(3))))));
    items.push(Item::Missing(Missing::of(None, MissingWhy::Other(words(name(4))))));
    let rows = failing.into_iter().zip((1..=5000).rev());
    let rows = rows.map(|(process, count)| {
        let process = Process { tid: None, ..process };
        Row { process, netns: NETNS, fault: FAULT, count, first: at(1), last: at(2000) }
    });
    let rows: Vec<Row> = rows.collect();
    let failures = rows.iter().map(|row| row.count).sum();
    let delivered = names.len() as u64;
    items.push(Item::Summary(Summary { rows, other: 0 }));
    items.push(Item::End(End {
        failures,
        delivered,
        suppressed: failures - delivered,
        watched: Duration::from_secs(5),
        ..End::default()
    }));
    items
}

fn snapshot(processes: &[Process]) -> Snapshot {
    let share = 28_000 / u32::try_from(processes.len()).unwrap();
    let holding =
        |process: &Process| Holding { holder: Holder::Process(process.clone()), count: share, time_wait: 0 };
    let used = share * u32::try_from(processes.len()).unwrap();
    let row = Occupancy {
        netns: NETNS,
        protocol: Protocol::Tcp,
        source: Some([10, 0, 0, 1].into()),
        destination: Some(FAULT.address),
        device: 0,
        used,
        usable: RANGE.width(),
        by_state: vec![(SocketState::Established, used)],
        holders: processes.iter().map(holding).collect(),
        time_wait: None,
        open_since: None,
    };
    let namespace = Namespace {
        id: NETNS,
        range: RANGE,
        reserved: 0,
        bound: 0,
        reserved_ports: Vec::new(),
        listeners: Vec::new(),
        settings: Settings::default(),
        is_own: true,
        is_hosts: Some(true),
    };
    Snapshot {
        at: at(2500),
        boot_offset_ns: 1_700_000_000_000_000_000,
        scope: Scope::default(),
        namespaces: vec![namespace],
        hosts_range: Some(RANGE),
        rows: vec![row],
        sockets: used.into(),
        repeated: 0,
        bound_visible: Some(true),
        limits: Vec::new(),
    }
}
