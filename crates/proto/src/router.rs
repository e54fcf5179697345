//! Which handler a request goes to: one tree of path segments for each method, one for `any`, one for upgrades.
//!
//! The cost of a lookup grows with the number of segments in the path, not with the number of routes. The router keeps
//! values of its owner's and calls nothing; a handler that passes a request on asks for the next match by number.

use std::collections::HashMap;

use crate::http::Method;

/// How many segments a pattern may have; a tree is walked by recursion, so that its depth must have a bound.
pub const MAX_SEGMENTS: usize = 100;

/// The pattern has more than [`MAX_SEGMENTS`] segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternTooDeep;

/// What kind of request a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// WebSocket upgrades; they go before all others.
    Upgrade,
    /// Requests with this method.
    Method(Method),
    /// Requests with any method; they come after the routes of the exact method.
    Any,
}

/// Routes and the values registered for them.
pub struct Router<T> {
    upgrade: Node<T>,
    methods: [Node<T>; Method::COUNT],
    any: Node<T>,
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Self { upgrade: Node::default(), methods: std::array::from_fn(|_| Node::default()), any: Node::default() }
    }
}

impl<T> Router<T> {
    /// Registers `value` and gives back what it replaced.
    ///
    /// A pattern starts with `/`. Its segments are literal, `:name`, which matches any segment but an empty one, or
    /// `*`, which ends the pattern and matches all the rest, also when that is empty. Letter case counts.
    pub fn insert(&mut self, kind: RouteKind, pattern: &str, value: T) -> Result<Option<T>, PatternTooDeep> {
        Ok(self.place(kind, pattern)?.replace(value))
    }

    /// Removes a route by the very pattern (names of parameters aside) it was registered with.
    pub fn remove(&mut self, kind: RouteKind, pattern: &str) -> Option<T> {
        self.place(kind, pattern).ok()?.take()
    }

    /// The match number `skip`, counted from 0 in the order of precedence: upgrade routes if `upgrade`, routes of the
    /// exact method, `any` routes; in each, segment by segment, literal before `:name` before `*`.
    ///
    /// `method` is `None` for one that no route can name; only `any` matches it.
    pub fn find(&self, upgrade: bool, method: Option<Method>, path: &str, skip: usize) -> Option<&T> {
        let path = path.strip_prefix('/')?;
        let exact = method.map(|method| &self.methods[method as usize]);
        let trees = [upgrade.then_some(&self.upgrade), exact, Some(&self.any)];
        let mut skip = skip;
        trees.into_iter().flatten().find_map(|tree| tree.find(Some(path), &mut skip))
    }

    /// Calls `visit` with every value, in no particular order.
    pub fn for_each(&self, mut visit: impl FnMut(&T)) {
        for tree in self.methods.iter().chain([&self.upgrade, &self.any]) {
            tree.for_each(&mut visit);
        }
    }

    fn place(&mut self, kind: RouteKind, pattern: &str) -> Result<&mut Option<T>, PatternTooDeep> {
        if pattern.split('/').nth(MAX_SEGMENTS + 1).is_some() {
            return Err(PatternTooDeep);
        }
        let tree = match kind {
            RouteKind::Upgrade => &mut self.upgrade,
            RouteKind::Method(method) => &mut self.methods[method as usize],
            RouteKind::Any => &mut self.any,
        };
        Ok(match pattern.strip_prefix('/') {
            Some(pattern) => tree.place(pattern),
            // No path is without a slash, so nothing ever finds what is registered here.
            None => &mut tree.literals.entry(format!("/{pattern}").into()).or_default().value,
        })
    }
}

struct Node<T> {
    literals: HashMap<Box<str>, Node<T>>,
    parameter: Option<Box<Node<T>>>,
    wildcard: Option<T>,
    value: Option<T>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { literals: HashMap::new(), parameter: None, wildcard: None, value: None }
    }
}

impl<T> Node<T> {
    fn place(&mut self, pattern: &str) -> &mut Option<T> {
        let (segment, rest) = split(pattern);
        let child = match segment.as_bytes().first() {
            Some(b'*') => return &mut self.wildcard,
            Some(b':') => self.parameter.get_or_insert_default(),
            _ => self.literals.entry(segment.into()).or_default(),
        };
        match rest {
            Some(rest) => child.place(rest),
            None => &mut child.value,
        }
    }

    /// `path` is `None` behind the last segment. Depth is bounded by the longest pattern.
    fn find(&self, path: Option<&str>, skip: &mut usize) -> Option<&T> {
        let Some(path) = path else { return take_unless_skipped(self.value.as_ref(), skip) };
        let (segment, rest) = split(path);
        if let Some(found) = self.literals.get(segment).and_then(|child| child.find(rest, skip)) {
            return Some(found);
        }
        if let Some(parameter) = self.parameter.as_ref().filter(|_| !segment.is_empty())
            && let Some(found) = parameter.find(rest, skip)
        {
            return Some(found);
        }
        take_unless_skipped(self.wildcard.as_ref(), skip)
    }

    fn for_each(&self, visit: &mut impl FnMut(&T)) {
        self.value.iter().chain(&self.wildcard).for_each(&mut *visit);
        for child in self.literals.values().chain(self.parameter.as_deref()) {
            child.for_each(visit);
        }
    }
}

fn split(path: &str) -> (&str, Option<&str>) {
    path.split_once('/').map_or((path, None), |(segment, rest)| (segment, Some(rest)))
}

fn take_unless_skipped<'n, T>(value: Option<&'n T>, skip: &mut usize) -> Option<&'n T> {
    let value = value?;
    if *skip == 0 {
        return Some(value);
    }
    *skip -= 1;
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: RouteKind = RouteKind::Method(Method::Get);

    fn serving(patterns: &[(RouteKind, &'static str)]) -> Router<&'static str> {
        let mut router = Router::default();
        for (kind, pattern) in patterns {
            router.insert(*kind, pattern, *pattern).expect("short");
        }
        router
    }

    fn all<'r>(router: &Router<&'r str>, upgrade: bool, method: Method, path: &str) -> Vec<&'r str> {
        (0..).map_while(|skip| router.find(upgrade, Some(method), path, skip).copied()).collect()
    }

    #[test]
    fn the_exact_method_goes_before_any() {
        let router = serving(&[(RouteKind::Any, "/hello"), (GET, "/*")]);
        assert_eq!(all(&router, false, Method::Get, "/hello"), ["/*", "/hello"]);
        assert_eq!(all(&router, false, Method::Post, "/hello"), ["/hello"]);
        assert_eq!(router.find(false, None, "/hello", 0), Some(&"/hello"));
    }

    #[test]
    fn literals_go_before_parameters_before_the_wildcard_segment_by_segment() {
        let router =
            serving(&[(GET, "/*"), (GET, "/:a/*"), (GET, "/x/:b"), (GET, "/:a/y"), (GET, "/x/*"), (GET, "/x/y")]);
        assert_eq!(all(&router, false, Method::Get, "/x/y"), ["/x/y", "/x/:b", "/x/*", "/:a/y", "/:a/*", "/*"]);
        assert_eq!(all(&router, false, Method::Get, "/z/y"), ["/:a/y", "/:a/*", "/*"]);
    }

    #[test]
    fn upgrade_routes_go_first_and_only_for_upgrades() {
        let router = serving(&[(GET, "/chat"), (RouteKind::Upgrade, "/*")]);
        assert_eq!(all(&router, true, Method::Get, "/chat"), ["/*", "/chat"]);
        assert_eq!(all(&router, false, Method::Get, "/chat"), ["/chat"]);
    }

    #[test]
    fn a_wildcard_matches_the_empty_segment_and_a_parameter_does_not() {
        let router = serving(&[(GET, "/x/*"), (GET, "/p/:id")]);
        assert_eq!(all(&router, false, Method::Get, "/x/"), ["/x/*"]);
        assert_eq!(all(&router, false, Method::Get, "/x/a/b"), ["/x/*"]);
        assert!(all(&router, false, Method::Get, "/x").is_empty());
        assert!(all(&router, false, Method::Get, "/p/").is_empty());
    }

    #[test]
    fn trailing_slashes_and_letter_case_count() {
        let router = serving(&[(GET, "/x/static"), (GET, "/")]);
        assert!(all(&router, false, Method::Get, "/x/static/").is_empty());
        assert!(all(&router, false, Method::Get, "/X/static").is_empty());
        assert_eq!(all(&router, false, Method::Get, "/"), ["/"]);
        assert!(all(&router, false, Method::Get, "").is_empty());
        assert!(all(&router, false, Method::Get, "*").is_empty());
    }

    #[test]
    fn a_pattern_without_a_slash_is_kept_and_never_found() {
        let mut router = serving(&[(GET, "hello"), (GET, "*")]);
        assert!(all(&router, false, Method::Get, "/hello").is_empty());
        assert!(all(&router, false, Method::Get, "//hello").is_empty());
        assert_eq!(router.remove(GET, "hello"), Some("hello"));
    }

    #[test]
    fn replacing_and_removing_give_the_old_value_back() {
        let mut router = Router::default();
        assert_eq!(router.insert(GET, "/a/:x", 1), Ok(None));
        assert_eq!(router.insert(GET, "/a/:y", 2), Ok(Some(1)));
        assert_eq!(router.remove(GET, "/a/:z"), Some(2));
        assert_eq!(router.remove(GET, "/a/:z"), None);
        assert_eq!(router.find(false, Some(Method::Get), "/a/b", 0), None);
    }

    #[test]
    fn a_pattern_of_too_many_segments_is_refused() {
        let mut router = Router::default();
        assert_eq!(router.insert(GET, &"/a".repeat(MAX_SEGMENTS), ()), Ok(None));
        assert_eq!(router.insert(GET, &"/a".repeat(MAX_SEGMENTS + 1), ()), Err(PatternTooDeep));
        assert_eq!(router.remove(GET, &"/".repeat(1_000_000)), None);
        assert_eq!(router.find(false, Some(Method::Get), &"/a".repeat(1_000_000), 0), None);
    }

    #[test]
    fn for_each_visits_every_value() {
        let router = serving(&[(GET, "/"), (GET, "/a/*"), (RouteKind::Any, "/:p"), (RouteKind::Upgrade, "/*")]);
        let mut seen = Vec::new();
        router.for_each(|value| seen.push(*value));
        seen.sort_unstable();
        assert_eq!(seen, ["/", "/*", "/:p", "/a/*"]);
    }
}
