//! Routing: one tree of path segments for each method, one for `any`, and one for upgrades.
//!
//! The cost of a lookup grows with the number of segments in the path, not with the number of routes. The router stores
//! the owner's values and calls nothing. When a handler passes a request on, the owner looks up the next match by its
//! index.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::http::Method;

/// The maximum number of segments in a pattern. Lookups are recursive, so the depth of a tree must be bounded.
pub const MAX_SEGMENTS: usize = 100;

/// The error for a pattern with more than [`MAX_SEGMENTS`] segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternTooDeep;

/// The kind of request that a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// WebSocket upgrades. These routes come before all others.
    Upgrade,
    /// Requests with this method.
    Method(Method),
    /// Requests with any method. These routes come after those of the exact method.
    Any,
}

/// The route that a path has matched.
#[derive(Debug, PartialEq, Eq)]
pub struct Match<'r, T> {
    /// The value that was registered.
    pub value: &'r T,
    /// The parameters of the pattern, which find their values in the path.
    pub parameters: &'r Parameters,
}

/// The parameters of a pattern. They are cheap to clone, so a match can outlive the borrow of its router, and may go to
/// another thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Option<Arc<[Parameter]>>);

#[derive(Debug, PartialEq, Eq)]
struct Parameter {
    /// The name, without the colon.
    name: Box<str>,
    /// The index of the segment in the path, counted from 0.
    segment: usize,
}

impl Parameters {
    fn of(pattern: &str) -> Self {
        let segments = pattern.split('/').skip(1).take_while(|segment| !segment.starts_with('*'));
        let parameters: Arc<[_]> = segments
            .enumerate()
            .filter_map(|(segment, text)| Some(Parameter { name: text.strip_prefix(':')?.into(), segment }))
            .collect();
        Self((!parameters.is_empty()).then_some(parameters))
    }

    /// Returns the value of the parameter at `index`, counted from 0, in a path that has matched.
    pub fn value_at<'p>(&self, index: usize, path: &'p str) -> Option<&'p str> {
        self.all().get(index)?.value(path)
    }

    /// Returns the value of the first parameter with this name in a path that has matched.
    pub fn value_of<'p>(&self, name: &str, path: &'p str) -> Option<&'p str> {
        self.all().iter().find(|parameter| *parameter.name == *name)?.value(path)
    }

    fn all(&self) -> &[Parameter] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl Parameter {
    fn value<'p>(&self, path: &'p str) -> Option<&'p str> {
        // A path begins with a slash, so its first part is empty.
        path.split('/').nth(self.segment + 1)
    }
}

/// Routes, and the values registered for them.
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
    /// Registers `value` and returns the value that it replaces.
    ///
    /// A pattern starts with `/`. A segment is a literal; `:name`, which matches any segment that is not empty; or `*`,
    /// which ends the pattern and matches the rest of the path, even if that is empty. Matching is case-sensitive.
    pub fn insert(&mut self, kind: RouteKind, pattern: &str, value: T) -> Result<Option<T>, PatternTooDeep> {
        let parameters = Parameters::of(pattern);
        Ok(self.place(kind, pattern)?.replace(Leaf { value, parameters }).map(|leaf| leaf.value))
    }

    /// Removes a route and returns its value. The pattern must be the same, except for the names of parameters.
    pub fn remove(&mut self, kind: RouteKind, pattern: &str) -> Option<T> {
        self.place(kind, pattern).ok()?.take().map(|leaf| leaf.value)
    }

    /// Returns the match at `skip`, counted from 0, in order of precedence: upgrade routes (only if `upgrade`), routes
    /// of the exact method, `any` routes; within each, segment by segment, literals before `:name` before `*`.
    ///
    /// `method` is `None` if no route can name it; then only `any` routes match. The path `*`, which OPTIONS uses for
    /// the server as a whole (RFC 9112 section 3.2.4), matches the patterns `/*` and `*`.
    pub fn find(&self, upgrade: bool, method: Option<Method>, path: &str, skip: usize) -> Option<Match<'_, T>> {
        let exact = method.map(|method| &self.methods[method as usize]);
        let trees = [upgrade.then_some(&self.upgrade), exact, Some(&self.any)];
        let mut trees = trees.into_iter().flatten();
        let mut skip = skip;
        let leaf = match path.strip_prefix('/') {
            Some(path) => trees.find_map(|tree| tree.find(Some(path), &mut skip)),
            None if path == "*" => trees.find_map(|tree| take_unless_skipped(tree.wildcard.as_ref(), &mut skip)),
            None => None,
        }?;
        Some(Match { value: &leaf.value, parameters: &leaf.parameters })
    }

    /// Returns all values, in no particular order.
    pub fn values(&self) -> Vec<&T> {
        let mut values = Vec::new();
        for tree in self.methods.iter().chain([&self.upgrade, &self.any]) {
            tree.append_values(&mut values);
        }
        values
    }

    fn place(&mut self, kind: RouteKind, pattern: &str) -> Result<&mut Option<Leaf<T>>, PatternTooDeep> {
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
            // `*` is the same as `/*`.
            None if pattern.starts_with('*') => &mut tree.wildcard,
            // No segment of a path contains a slash, so this key is never found. The value can be replaced and removed.
            None => &mut tree.literals.entry(format!("/{pattern}").into()).or_default().value,
        })
    }
}

struct Node<T> {
    /// The hash is a fast one: the API's user chooses the keys, so no peer can make them collide.
    literals: FxHashMap<Box<str>, Node<T>>,
    parameter: Option<Box<Node<T>>>,
    wildcard: Option<Leaf<T>>,
    value: Option<Leaf<T>>,
}

/// The end of a pattern. Patterns that differ only in the names of parameters share it.
struct Leaf<T> {
    value: T,
    parameters: Parameters,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { literals: FxHashMap::default(), parameter: None, wildcard: None, value: None }
    }
}

impl<T> Node<T> {
    fn place(&mut self, pattern: &str) -> &mut Option<Leaf<T>> {
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

    /// `path` is `None` after the last segment. The depth is bounded by the longest pattern.
    fn find(&self, path: Option<&str>, skip: &mut usize) -> Option<&Leaf<T>> {
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

    fn append_values<'n>(&'n self, values: &mut Vec<&'n T>) {
        values.extend(self.value.iter().chain(&self.wildcard).map(|leaf| &leaf.value));
        for child in self.literals.values().chain(self.parameter.as_deref()) {
            child.append_values(values);
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
        (0..).map_while(|skip| router.find(upgrade, Some(method), path, skip).map(|found| *found.value)).collect()
    }

    #[test]
    fn the_exact_method_goes_before_any() {
        let router = serving(&[(RouteKind::Any, "/hello"), (GET, "/*")]);
        assert_eq!(all(&router, false, Method::Get, "/hello"), ["/*", "/hello"]);
        assert_eq!(all(&router, false, Method::Post, "/hello"), ["/hello"]);
        assert_eq!(router.find(false, None, "/hello", 0).map(|found| *found.value), Some("/hello"));
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
    fn a_pattern_without_a_slash_is_kept_and_never_found_unless_it_is_a_wildcard() {
        let mut router = serving(&[(GET, "hello"), (GET, "*")]);
        assert_eq!(all(&router, false, Method::Get, "/hello"), ["*"]);
        assert_eq!(all(&router, false, Method::Get, "//hello"), ["*"]);
        assert_eq!(router.remove(GET, "hello"), Some("hello"));
    }

    #[test]
    fn the_path_of_options_for_the_server_as_a_whole_matches_what_matches_everything() {
        let options = RouteKind::Method(Method::Options);
        let router = serving(&[(options, "/*"), (options, "/:a"), (options, "/"), (RouteKind::Any, "*"), (GET, "/*")]);
        assert_eq!(all(&router, false, Method::Options, "*"), ["/*", "*"]);
        assert!(all(&serving(&[(options, "/:a"), (options, "/")]), false, Method::Options, "*").is_empty());
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
    fn parameters_by_number_and_by_name() {
        let router = serving(&[(GET, "/a/:x/b/:y"), (GET, "/:z/:z/*")]);
        let find = |path| router.find(false, Some(Method::Get), path, 0).expect("it matches").parameters.clone();
        let path = "/a/1%20/b/2";
        let parameters = find(path);
        assert_eq!([0, 1, 2].map(|index| parameters.value_at(index, path)), [Some("1%20"), Some("2"), None]);
        assert_eq!(
            ["x", "y", "z", ""].map(|name| parameters.value_of(name, path)),
            [Some("1%20"), Some("2"), None, None]
        );
        let path = "/p/q/r/s";
        let parameters = find(path);
        assert_eq!([0, 1, 2].map(|index| parameters.value_at(index, path)), [Some("p"), Some("q"), None]);
        assert_eq!(parameters.value_of("z", path), Some("p"));
    }

    #[test]
    fn parameters_are_those_of_the_pattern_that_was_registered_last() {
        let mut router = Router::default();
        router.insert(GET, "/:old", ()).expect("short");
        router.insert(GET, "/:new", ()).expect("short");
        let found = router.find(false, Some(Method::Get), "/v", 0).expect("it matches");
        assert_eq!((found.parameters.value_of("old", "/v"), found.parameters.value_of("new", "/v")), (None, Some("v")));
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
    fn values_returns_every_value() {
        let router = serving(&[(GET, "/"), (GET, "/a/*"), (RouteKind::Any, "/:p"), (RouteKind::Upgrade, "/*")]);
        let mut values = router.values();
        values.sort_unstable();
        assert_eq!(values, [&"/", &"/*", &"/:p", &"/a/*"]);
    }
}
