//! BTF made by hand, cut short, and that of the running kernel.

use super::{Btf, BtfError, Member};

pub(in crate::kernel) use super::kind;

/// Builds BTF from types given as words and a table of names.
pub(in crate::kernel) struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
    /// Types added by [`Builder::function`].
    count: u32,
}

impl Builder {
    pub(in crate::kernel) fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0], count: 0 }
    }

    fn name(&mut self, name: &str) -> u32 {
        let at = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        if name.is_empty() { 0 } else { at }
    }

    pub(in crate::kernel) fn add(
        &mut self,
        name: &str,
        kind: u32,
        members: usize,
        size_or_type: u32,
        trailer: &[u32],
    ) {
        let name = self.name(name);
        let info = kind << 24 | u32::try_from(members).unwrap();
        for word in [name, info, size_or_type].iter().chain(trailer) {
            self.types.extend(word.to_ne_bytes());
        }
    }

    pub(in crate::kernel) fn record(&mut self, name: &str, kind: u32, members: &[(&str, u32, u32)]) {
        let trailer: Vec<u32> =
            members.iter().flat_map(|(name, id, bits)| [self.name(name), *id, *bits]).collect();
        self.add(name, kind, members.len(), 0, &trailer);
    }

    pub(in crate::kernel) fn enumeration(&mut self, name: &str, enumerators: &[(&str, u32)]) {
        let trailer: Vec<u32> =
            enumerators.iter().flat_map(|(name, value)| [self.name(name), *value]).collect();
        self.add(name, kind::ENUM, enumerators.len(), 4, &trailer);
    }

    /// A function whose arguments have these names; adds its prototype too.
    pub(in crate::kernel) fn function(&mut self, name: &str, arguments: &[&str]) {
        let words: Vec<u32> = arguments.iter().flat_map(|argument| [self.name(argument), 0]).collect();
        self.add("", kind::FUNC_PROTO, arguments.len(), 0, &words);
        self.count += 1;
        let prototype = self.count;
        self.add(name, kind::FUNC, 0, prototype, &[]);
        self.count += 1;
    }

    pub(in crate::kernel) fn bytes(self) -> Vec<u8> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
        let mut bytes = super::MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        let words = [24, 0, length(&self.types), length(&self.types), length(&self.strings)];
        bytes.extend(words.iter().flat_map(|word: &u32| word.to_ne_bytes()));
        bytes.extend(self.types);
        bytes.extend(self.strings);
        bytes
    }
}

fn small() -> Vec<u8> {
    let mut btf = Builder::new();
    btf.add("int", kind::INT, 0, 4, &[32]); // 1
    btf.add("", kind::ARRAY, 0, 0, &[1, 1, 2]); // 2: int[2]
    btf.record("", kind::UNION, &[("a", 1, 0), ("b", 1, 0)]); // 3
    btf.record("inner", kind::STRUCT, &[("range", 2, 32), ("", 3, 96)]); // 4
    btf.add("inner_t", kind::TYPEDEF, 0, 4, &[]); // 5
    btf.record("outer", kind::STRUCT, &[("first", 1, 0), ("in", 5, 64)]); // 6
    let names = [btf.name("table"), btf.name("sk")];
    btf.add("", kind::FUNC_PROTO, 2, 1, &[names[0], 1, names[1], 1]); // 7
    btf.add("connect", kind::FUNC, 0, 7, &[]); // 8
    btf.record("looped", kind::STRUCT, &[("", 9, 0), ("", 9, 0)]); // 9: contains itself, twice
    btf.record("far", kind::STRUCT, &[("in", 6, u32::MAX)]); // 10: beyond what fits
    btf.bytes()
}

#[test]
fn members_are_found_through_typedefs_and_anonymous_members() {
    let btf = Btf::parse(small()).unwrap();
    let cases = [
        ("inner", "range", Ok(Member { offset: 4, bit: 0, is_array: true })),
        ("outer", "in.range", Ok(Member { offset: 12, bit: 0, is_array: true })),
        ("outer", "in.b", Ok(Member { offset: 20, bit: 0, is_array: false })),
        ("outer", "in.c", Err(())),
        ("looped", "anything", Err(())),
        ("far", "in.first", Ok(Member { offset: u32::MAX / 8, bit: 7, is_array: false })),
        ("far", "in.in", Err(())),
        ("nowhere", "first", Err(())),
    ];
    for (name, path, expected) in cases {
        assert_eq!(btf.member(name, path).map_err(|_| ()), expected, "{name}.{path}");
    }
}

#[test]
fn arguments_have_their_names_in_order() {
    let btf = Btf::parse(small()).unwrap();
    assert_eq!(btf.arguments("connect"), Ok(vec!["table", "sk"]));
    assert_eq!(
        btf.arguments("accept"),
        Err(BtfError::Missing { what: "function", name: "accept".to_owned() })
    );
}

#[test]
fn functions_are_found_by_their_whole_name_and_the_first_counts() {
    let mut btf = Builder::new();
    btf.record("tcp_bind", kind::STRUCT, &[]); // 1: no function
    for name in ["tcp_binds", "tcp_bind", "tcp_bind", "tcp", "ab", "a", ""] {
        btf.add(name, kind::FUNC, 0, 0, &[]); // 2 to 8
    }
    let btf = Btf::parse(btf.bytes()).unwrap();
    let cases = [
        ("tcp_binds", Some(2)),
        ("tcp_bind", Some(3)),
        ("tcp_bin", None),
        ("tcp", Some(5)),
        ("ab", Some(6)),
        // The last name of the file, with fewer bytes behind it than a word has.
        ("a", Some(7)),
        ("tc", None),
        ("", Some(8)),
    ];
    for (name, expected) in cases {
        assert_eq!(btf.function(name), expected, "{name:?}");
    }
}

#[test]
fn no_truncation_and_no_flipped_bit_panics() {
    let whole = small();
    let look = |bytes: Vec<u8>| {
        if let Ok(btf) = Btf::parse(bytes) {
            let _ = (btf.member("outer", "in.b"), btf.member("looped", "x"), btf.arguments("connect"));
            // An id beyond the types would make the type information for aya as large as the id says.
            assert!(btf.function("connect").is_none_or(|id| (id as usize) < whole.len() / 12));
        }
    };
    for length in 0..whole.len() {
        look(whole[..length].to_vec());
    }
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        look(flipped);
    }
}

#[test]
fn the_running_kernels_own_type_information_has_what_the_hooks_need() {
    let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        println!("skipped: this kernel has no BTF");
        return;
    };
    let btf = Btf::parse(bytes).unwrap();
    // The layout of sock_common is the same in every kernel from 5.10 to 7.3.
    assert_eq!(btf.member("sock_common", "skc_daddr"), Ok(Member { offset: 0, bit: 0, is_array: false }));
    assert_eq!(btf.member("sock_common", "skc_family"), Ok(Member { offset: 16, bit: 0, is_array: false }));
    assert_eq!(btf.arguments("tcp_v4_connect").map(|names| names.len()), Ok(3));
}
