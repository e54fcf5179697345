//! The router finds what a search through the list of all routes finds, in the same order, whatever has been registered
//! and removed before.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use milliways_proto::http::Method;
use milliways_proto::router::{MAX_SEGMENTS, PatternTooDeep, RouteKind, Router};

#[derive(Arbitrary, Debug)]
enum Operation<'a> {
    Insert(Kind, Text<'a>),
    Remove(Kind, Text<'a>),
    Find { upgrade: bool, method: Option<Kind>, path: Text<'a> },
}

/// Few, so that they meet.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Upgrade,
    Get,
    Post,
    Any,
}

/// A pattern or a path.
#[derive(Arbitrary, Debug)]
enum Text<'a> {
    Segments(Vec<Segment>),
    Deep(u8),
    Raw(&'a str),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Segment {
    A,
    B,
    Empty,
    Accent,
    X,
    Y,
    Wildcard,
    LongWildcard,
}

impl Text<'_> {
    fn text(&self) -> String {
        match self {
            Self::Segments(segments) => segments
                .iter()
                .map(|segment| match segment {
                    Segment::A => "/a",
                    Segment::B => "/b",
                    Segment::Empty => "/",
                    Segment::Accent => "/é",
                    Segment::X => "/:x",
                    Segment::Y => "/:y",
                    Segment::Wildcard => "/*",
                    Segment::LongWildcard => "/*z",
                })
                .collect(),
            Self::Deep(depth) => "/a".repeat((*depth).into()),
            Self::Raw(text) => (*text).to_owned(),
        }
    }
}

impl Kind {
    fn route_kind(self) -> RouteKind {
        match self {
            Self::Upgrade => RouteKind::Upgrade,
            Self::Get => RouteKind::Method(Method::Get),
            Self::Post => RouteKind::Method(Method::Post),
            Self::Any => RouteKind::Any,
        }
    }
}

/// A registered route.
struct Entry {
    kind: Kind,
    pattern: Pattern,
    value: usize,
}

#[derive(PartialEq, Eq)]
enum Pattern {
    /// It matches nothing.
    WithoutSlash(String),
    Segments(Vec<Part>),
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Literal(String),
    Parameter,
    Wildcard,
}

impl Pattern {
    fn parse(text: &str) -> Self {
        let is_wildcard = text.starts_with('*');
        let Some(text) = text.strip_prefix('/').or(is_wildcard.then_some(text)) else {
            return Self::WithoutSlash(text.to_owned());
        };
        let mut parts = Vec::new();
        for segment in text.split('/') {
            parts.push(match segment.chars().next() {
                Some('*') => {
                    parts.push(Part::Wildcard);
                    break;
                }
                Some(':') => Part::Parameter,
                _ => Part::Literal(segment.to_owned()),
            });
        }
        Self::Segments(parts)
    }

    /// By segment: 0 literal, 1 parameter, 2 wildcard; `None` when the pattern does not match.
    fn ranks(&self, path: &str) -> Option<Vec<u8>> {
        let Self::Segments(parts) = self else { return None };
        // The path of OPTIONS for the server as a whole (RFC 9112 section 3.2.4) matches what matches everything.
        if path == "*" {
            return matches!(parts[..], [Part::Wildcard]).then(|| vec![2]);
        }
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let mut ranks = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let segment = segments.get(index)?;
            match part {
                Part::Literal(literal) if literal == segment => ranks.push(0),
                Part::Parameter if !segment.is_empty() => ranks.push(1),
                Part::Wildcard => {
                    ranks.push(2);
                    return Some(ranks);
                }
                _ => return None,
            }
        }
        (parts.len() == segments.len()).then_some(ranks)
    }
}

fuzz_target!(|operations: Vec<Operation<'_>>| {
    let mut router = Router::default();
    let mut entries: Vec<Entry> = Vec::new();
    for (value, operation) in operations.iter().enumerate() {
        match operation {
            Operation::Insert(kind, text) => {
                let text = text.text();
                let inserted = router.insert(kind.route_kind(), &text, value);
                if text.split('/').count() > MAX_SEGMENTS + 1 {
                    assert_eq!(inserted, Err(PatternTooDeep));
                    continue;
                }
                let old = take(&mut entries, *kind, &text);
                assert_eq!(inserted, Ok(old), "{text}");
                entries.push(Entry { kind: *kind, pattern: Pattern::parse(&text), value });
            }
            Operation::Remove(kind, text) => {
                let text = text.text();
                let removed = router.remove(kind.route_kind(), &text);
                assert_eq!(removed, take(&mut entries, *kind, &text), "{text}");
            }
            Operation::Find { upgrade, method, path } => {
                let path = path.text();
                let method = match method {
                    Some(Kind::Get) => Some(Method::Get),
                    Some(Kind::Post) => Some(Method::Post),
                    _ => None,
                };
                let found: Vec<usize> = (0..)
                    .map_while(|skip| router.find(*upgrade, method, &path, skip).map(|found| *found.value))
                    .collect();
                let mut expected = Vec::new();
                for kind in [Kind::Upgrade, Kind::Get, Kind::Post, Kind::Any] {
                    let is_asked = match kind {
                        Kind::Upgrade => *upgrade,
                        Kind::Get => method == Some(Method::Get),
                        Kind::Post => method == Some(Method::Post),
                        Kind::Any => true,
                    };
                    let mut matches: Vec<_> = entries
                        .iter()
                        .filter(|entry| is_asked && entry.kind == kind)
                        .filter_map(|entry| Some((entry.pattern.ranks(&path)?, entry.value)))
                        .collect();
                    matches.sort();
                    expected.extend(matches.iter().map(|(_, value)| *value));
                }
                assert_eq!(found, expected, "{path}");
            }
        }
    }
    let mut kept: Vec<usize> = router.values().into_iter().copied().collect();
    kept.sort_unstable();
    let mut values: Vec<usize> = entries.iter().map(|entry| entry.value).collect();
    values.sort_unstable();
    assert_eq!(kept, values);
});

fn take(entries: &mut Vec<Entry>, kind: Kind, text: &str) -> Option<usize> {
    if text.split('/').count() > MAX_SEGMENTS + 1 {
        return None;
    }
    let pattern = Pattern::parse(text);
    let index = entries.iter().position(|entry| entry.kind == kind && entry.pattern == pattern)?;
    Some(entries.swap_remove(index).value)
}
