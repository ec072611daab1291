//! An expression as a tree of texts, and how one that differs is made smaller.

use foldline::sql::Type;

/// `parts` stand around the `children`: one more of them than of the children.
#[derive(Debug, Clone)]
pub struct Tree {
    pub parts: Vec<String>,
    pub children: Vec<Tree>,
    /// The type that was wanted of it; what it has may be another.
    pub ty: Option<Type>,
}

impl Tree {
    pub fn leaf(text: impl Into<String>, ty: Option<Type>) -> Tree {
        Tree { parts: vec![text.into()], children: Vec::new(), ty }
    }

    pub fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        for (i, part) in self.parts.iter().enumerate() {
            out.push_str(part);
            if let Some(child) = self.children.get(i) {
                child.write(out);
            }
        }
    }

    fn size(&self) -> usize {
        1 + self.children.iter().map(Tree::size).sum::<usize>()
    }

    /// The tree with its node number `at` (in preorder) replaced by what `by` makes of it; None where that is nothing.
    fn replaced(&self, at: &mut usize, by: &dyn Fn(&Tree) -> Option<Tree>) -> Option<Tree> {
        if *at == 0 {
            *at = usize::MAX;
            return by(self);
        }
        *at -= 1;
        for (i, child) in self.children.iter().enumerate() {
            if let Some(new) = child.replaced(at, by) {
                let mut tree = self.clone();
                tree.children[i] = new;
                return Some(tree);
            }
            if *at == usize::MAX {
                return None;
            }
        }
        None
    }

    /// The smallest tree found that still differs: nodes are replaced by their children, by leaves, by NULL,
    /// as long as `differs` holds.
    pub fn shrunk(self, leaves: &dyn Fn(&Type) -> Vec<String>, differs: &mut dyn FnMut(&Tree) -> bool) -> Tree {
        let mut best = self;
        let mut tries = 0;
        'again: loop {
            for at in 0..best.size() {
                let mut node = None;
                best.visit(&mut { at }, &mut |tree| node = Some(tree.clone()));
                let Some(node) = node else { continue };
                let mut smaller: Vec<Tree> = node.children.clone();
                if !node.children.is_empty()
                    && let Some(ty) = &node.ty
                {
                    smaller.extend(leaves(ty).into_iter().map(|leaf| Tree::leaf(leaf, Some(ty.clone()))));
                }
                for new in smaller {
                    let Some(tree) = best.replaced(&mut { at }, &|_| Some(new.clone())) else { continue };
                    tries += 1;
                    if tries > 150 {
                        return best;
                    }
                    if differs(&tree) {
                        best = tree;
                        continue 'again;
                    }
                }
            }
            return best;
        }
    }

    fn visit(&self, at: &mut usize, with: &mut dyn FnMut(&Tree)) {
        if *at == usize::MAX {
            return;
        }
        if *at == 0 {
            *at = usize::MAX;
            return with(self);
        }
        *at -= 1;
        for child in &self.children {
            child.visit(at, with);
        }
    }
}
