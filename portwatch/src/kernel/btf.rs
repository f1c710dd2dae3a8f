//! Reads type information of the running kernel: where members are, which arguments functions take.
//!
//! In: the bytes of `/sys/kernel/btf/vmlinux` (format: Documentation/bpf/btf.rst). Out: offsets and arities. The
//! bytes are the kernel's own, but nothing here panics or loops for any others.

use thiserror::Error;

const MAGIC: u16 = 0xeb9f;
/// More qualifiers than any type has, and more anonymous members than any structure: bounds for type loops, the
/// second also for the stack.
const MAX_QUALIFIERS: u32 = 32;
const MAX_STEPS: u32 = 1000;

/// Kinds of include/uapi/linux/btf.h, those that matter here.
pub(super) mod kind {
    pub(in crate::kernel) const INT: u32 = 1;
    pub(in crate::kernel) const PTR: u32 = 2;
    pub(in crate::kernel) const ARRAY: u32 = 3;
    pub(in crate::kernel) const STRUCT: u32 = 4;
    pub(in crate::kernel) const UNION: u32 = 5;
    pub(in crate::kernel) const ENUM: u32 = 6;
    pub(in crate::kernel) const TYPEDEF: u32 = 8;
    pub(in crate::kernel) const VOLATILE: u32 = 9;
    pub(in crate::kernel) const CONST: u32 = 10;
    pub(in crate::kernel) const RESTRICT: u32 = 11;
    pub(in crate::kernel) const FUNC: u32 = 12;
    pub(in crate::kernel) const FUNC_PROTO: u32 = 13;
    pub(in crate::kernel) const VAR: u32 = 14;
    pub(in crate::kernel) const DATASEC: u32 = 15;
    pub(in crate::kernel) const DECL_TAG: u32 = 17;
    pub(in crate::kernel) const TYPE_TAG: u32 = 18;
    pub(in crate::kernel) const ENUM64: u32 = 19;
}

/// What could not be found or understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum BtfError {
    #[error("not BTF of this machine's byte order")]
    Magic,
    #[error("BTF ends inside {0}")]
    Truncated(&'static str),
    #[error("BTF has a type of unknown kind {0}")]
    UnknownKind(u32),
    #[error("this kernel has no {what} {name}")]
    Missing { what: &'static str, name: String },
}

/// A member of a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    /// Bytes from the start of the structure.
    pub(super) offset: u32,
    /// Bits from there, for a bit field that does not begin a byte.
    pub(super) bit: u32,
    /// Whether its type is an array.
    pub(super) is_array: bool,
}

/// Parsed type information.
pub(super) struct Btf {
    bytes: Vec<u8>,
    strings: usize,
    /// Where each type starts in `bytes`, by id; id 0 is void.
    types: Vec<u32>,
    structures: Names,
    functions: Names,
}

/// Types of one kind in order: the first bytes of each name, with the type's id. A kernel has tens of thousands, and
/// these bytes tell almost all of them from a wanted one without a look at the whole name.
type Names = Vec<(u32, u32)>;

impl Btf {
    /// Indexes the types.
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self, BtfError> {
        if bytes.get(..2) != Some(&MAGIC.to_ne_bytes()) {
            return Err(BtfError::Magic);
        }
        let header =
            |offset| word(&bytes, offset).map(|word| word as usize).ok_or(BtfError::Truncated("the header"));
        let (length, types_at, types_length, strings_at) = (header(4)?, header(8)?, header(12)?, header(16)?);
        let start = length.checked_add(types_at).ok_or(BtfError::Truncated("the header"))?;
        let end = start.checked_add(types_length).ok_or(BtfError::Truncated("the header"))?;
        let strings = length.checked_add(strings_at).ok_or(BtfError::Truncated("the header"))?;
        if end > bytes.len() || strings > bytes.len() {
            return Err(BtfError::Truncated("the header"));
        }
        // Half as many pages as places of this machine would take.
        let place = |at| u32::try_from(at).map_err(|_| BtfError::Truncated("the header"));
        let mut types = vec![place(start)?];
        let (mut structures, mut functions) = (Names::new(), Names::new());
        let mut at = start;
        while at < end {
            let info = word(&bytes, at + 4).ok_or(BtfError::Truncated("a type"))?;
            let names = match kind_of(info) {
                kind::STRUCT => Some(&mut structures),
                kind::FUNC => Some(&mut functions),
                _ => None,
            };
            if let Some(names) = names {
                let name = word(&bytes, at).and_then(|name| strings.checked_add(name as usize));
                let head = name.and_then(|name| word(&bytes, name));
                // A type takes 12 bytes, so as many as an u32 counts are beyond any file.
                let id = u32::try_from(types.len()).map_err(|_| BtfError::Truncated("the header"))?;
                names.push((head.unwrap_or(0), id));
            }
            types.push(place(at)?);
            at += 12 + trailer(info)?;
        }
        if at != end {
            return Err(BtfError::Truncated("a type"));
        }
        Ok(Self { bytes, strings, types, structures, functions })
    }

    /// The member that `path` (names joined by dots) leads to in the first structure called `name`.
    pub(super) fn member(&self, name: &str, path: &str) -> Result<Member, BtfError> {
        let missing = || BtfError::Missing { what: "member", name: format!("{name}.{path}") };
        let mut id = self.find(&self.structures, name).ok_or_else(missing)?;
        let mut bits = 0;
        for step in path.split('.') {
            let (offset, member) = self.member_of(id, step, &mut { MAX_STEPS }).ok_or_else(missing)?;
            bits = u32::checked_add(bits, offset).ok_or_else(missing)?;
            id = member;
        }
        let is_array = self.at(self.unqualified(id)).is_some_and(|at| self.kind(at) == kind::ARRAY);
        Ok(Member { offset: bits / 8, bit: bits % 8, is_array })
    }

    /// Bytes of the first structure called `name`.
    pub(super) fn size(&self, name: &str) -> Result<u32, BtfError> {
        let missing = || BtfError::Missing { what: "structure", name: name.to_owned() };
        let at = self.find(&self.structures, name).and_then(|id| self.at(id)).ok_or_else(missing)?;
        Ok(self.word(at + 8))
    }

    /// Whether the first enumeration called `name` has this enumerator.
    pub(super) fn has_enumerator(&self, name: &str, enumerator: &str) -> bool {
        let Some(at) = self.scan(kind::ENUM, name).and_then(|id| self.at(id)) else { return false };
        let count = (self.word(at + 4) & 0xffff) as usize;
        (0..count).any(|n| self.string(self.word(at + 12 + 8 * n)) == Some(enumerator))
    }

    /// The id of the type of the tracepoint of this name (`include/trace/bpf_probe.h` makes one for each).
    pub(super) fn tracepoint(&self, name: &str) -> Option<u32> {
        self.scan(kind::TYPEDEF, &format!("btf_trace_{name}"))
    }

    /// The names of the arguments of the function called `name`.
    pub(super) fn arguments(&self, name: &str) -> Result<Vec<&str>, BtfError> {
        let missing = || BtfError::Missing { what: "function", name: name.to_owned() };
        let function = self.function(name).and_then(|id| self.at(id)).ok_or_else(missing)?;
        let prototype = self
            .at(self.word(function + 8))
            .filter(|at| self.kind(*at) == kind::FUNC_PROTO)
            .ok_or_else(missing)?;
        let count = self.word(prototype + 4) & 0xffff;
        (0..count as usize)
            .map(|n| self.string(self.word(prototype + 12 + 8 * n)).ok_or_else(missing))
            .collect()
    }

    /// The id of the first function called `name`.
    pub(super) fn function(&self, name: &str) -> Option<u32> {
        self.find(&self.functions, name)
    }

    /// The first type of a kind that has no index.
    fn scan(&self, wanted: u32, name: &str) -> Option<u32> {
        let named = |at: usize| self.kind(at) == wanted && self.string(self.word(at)) == Some(name);
        let position = self.types.iter().skip(1).position(|at| named(*at as usize))?;
        u32::try_from(position + 1).ok()
    }

    /// The first of these types that is called `name`.
    fn find(&self, names: &Names, name: &str) -> Option<u32> {
        // The terminator counts too; names of one or two letters have no head of their own.
        let head = match *name.as_bytes() {
            [a, b, c] => Some(u32::from_ne_bytes([a, b, c, 0])),
            [a, b, c, d, ..] => Some(u32::from_ne_bytes([a, b, c, d])),
            _ => None,
        };
        let named = |id: u32| self.at(id).and_then(|at| self.string(self.word(at))) == Some(name);
        let mut alike = names.iter().filter(|(found, _)| head.is_none_or(|head| head == *found));
        alike.find(|(_, id)| named(*id)).map(|(_, id)| *id)
    }

    /// Bit offset and type of a member, looked for in anonymous members too.
    fn member_of(&self, id: u32, name: &str, steps: &mut u32) -> Option<(u32, u32)> {
        let at = self.at(self.unqualified(id))?;
        *steps = steps.checked_sub(1)?;
        if !matches!(self.kind(at), kind::STRUCT | kind::UNION) {
            return None;
        }
        let info = self.word(at + 4);
        // With the kind flag the upper 8 bits of an offset are the width of a bit field.
        let offset_mask = if info >> 31 == 1 { 0x00ff_ffff } else { u32::MAX };
        (0..(info & 0xffff) as usize).find_map(|n| {
            let member = at + 12 + 12 * n;
            let (member_type, offset) = (self.word(member + 4), self.word(member + 8) & offset_mask);
            match self.string(self.word(member))? {
                found if found == name => Some((offset, member_type)),
                "" => {
                    let (inner, inner_type) = self.member_of(member_type, name, steps)?;
                    Some((offset.checked_add(inner)?, inner_type))
                }
                _ => None,
            }
        })
    }

    /// The type behind typedefs and qualifiers.
    fn unqualified(&self, mut id: u32) -> u32 {
        for _ in 0..MAX_QUALIFIERS {
            let Some(at) = self.at(id) else { break };
            match self.kind(at) {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = self.word(at + 8);
                }
                _ => break,
            }
        }
        id
    }

    fn at(&self, id: u32) -> Option<usize> {
        if id == 0 { None } else { self.types.get(id as usize).map(|at| *at as usize) }
    }

    fn kind(&self, at: usize) -> u32 {
        kind_of(self.word(at + 4))
    }

    /// A word of a type; `parse` has seen to it that types lie inside.
    fn word(&self, offset: usize) -> u32 {
        word(&self.bytes, offset).unwrap_or(0)
    }

    fn string(&self, offset: u32) -> Option<&str> {
        let rest = self.bytes.get(self.strings.checked_add(offset as usize)?..)?;
        std::str::from_utf8(rest.split(|byte| *byte == 0).next()?).ok()
    }
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn kind_of(info: u32) -> u32 {
    (info >> 24) & 0x1f
}

/// Bytes behind the 12 that each type has.
fn trailer(info: u32) -> Result<usize, BtfError> {
    let members = (info & 0xffff) as usize;
    Ok(match kind_of(info) {
        kind::INT | kind::VAR | kind::DECL_TAG => 4,
        kind::ARRAY => 12,
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * members,
        kind::ENUM | kind::FUNC_PROTO => 8 * members,
        // Pointers, forward declarations, typedefs, qualifiers, functions, floats.
        kind::PTR | 7..=12 | 16 | kind::TYPE_TAG => 0,
        unknown => return Err(BtfError::UnknownKind(unknown)),
    })
}

#[cfg(test)]
pub(super) mod tests;
