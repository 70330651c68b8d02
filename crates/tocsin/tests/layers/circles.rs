//! Circles in a graph: its strongly connected components (Tarjan 1972).

use std::collections::{BTreeMap, BTreeSet};

/// Which file names which, by number.
pub(crate) type Imports = BTreeMap<usize, BTreeSet<usize>>;

/// The groups of files of which each leads to all others, those of one file left out.
pub(crate) fn circles(imports: &Imports) -> Vec<Vec<usize>> {
    let mut search = Search::new(imports);
    for file in imports.keys() {
        if !search.index.contains_key(file) {
            search.visit(*file);
        }
    }
    search.found.retain(|group| group.len() > 1);
    search.found
}

struct Search<'a> {
    imports: &'a Imports,
    index: BTreeMap<usize, usize>,
    low: BTreeMap<usize, usize>,
    stack: Vec<usize>,
    found: Vec<Vec<usize>>,
}

impl<'a> Search<'a> {
    fn new(imports: &'a Imports) -> Self {
        Self { imports, index: BTreeMap::new(), low: BTreeMap::new(), stack: Vec::new(), found: Vec::new() }
    }

    fn visit(&mut self, file: usize) {
        let at = self.index.len();
        self.index.insert(file, at);
        self.low.insert(file, at);
        self.stack.push(file);
        for next in self.imports.get(&file).into_iter().flatten() {
            if !self.index.contains_key(next) {
                self.visit(*next);
                self.lower(file, self.low[next]);
            } else if self.stack.contains(next) {
                self.lower(file, self.index[next]);
            }
        }
        if self.low[&file] == at {
            let begin = self.stack.iter().position(|member| *member == file).unwrap();
            self.found.push(self.stack.split_off(begin));
        }
    }

    fn lower(&mut self, file: usize, to: usize) {
        let low = self.low.entry(file).or_insert(to);
        *low = to.min(*low);
    }
}

#[test]
fn circles_are_found_and_chains_are_not() {
    let graph = |edges: &[(usize, usize)]| {
        let mut imports = Imports::new();
        for (from, to) in edges {
            imports.entry(*from).or_default().insert(*to);
        }
        circles(&imports)
    };
    assert_eq!(graph(&[(0, 1), (1, 2), (0, 2)]), Vec::<Vec<usize>>::new());
    assert_eq!(graph(&[(0, 1), (1, 2), (2, 1), (2, 3)]), [[1, 2]]);
    assert_eq!(graph(&[(0, 1), (1, 0), (2, 3), (3, 4), (4, 2)]), [vec![0, 1], vec![2, 3, 4]]);
}
