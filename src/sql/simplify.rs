//! What is decided of a tree when it is compiled: which parts are constant, which can fail, which are NULL for certain.

use super::Value;
use super::eval::{NoEnv, Node};

impl Node {
    /// Calls `visit` on every node below this one, one level down.
    pub fn children<'a>(&'a self, visit: &mut dyn FnMut(&'a Node)) {
        match self {
            Node::Const(_) | Node::Slot(_) | Node::Local(_) => {}
            Node::Whole(node) => [&node.left, &node.right].into_iter().for_each(visit),
            Node::Double(node) | Node::Float(node) => [&node.left, &node.right].into_iter().for_each(visit),
            Node::Compare(node) => [&node.left, &node.right].into_iter().for_each(visit),
            Node::Distinct { left, right, .. } | Node::And { left, right, .. } | Node::Or { left, right, .. } => {
                visit(left);
                visit(right);
            }
            Node::Not(of) | Node::IsNull { of, .. } | Node::IsBool { of, .. } | Node::Field(of, _) => visit(of),
            Node::In { of, among, .. } => {
                visit(of);
                among.iter().for_each(visit);
            }
            Node::Case { arms, otherwise } => {
                for (when, then) in arms {
                    visit(when);
                    visit(then);
                }
                visit(otherwise);
            }
            Node::Coalesce(nodes) | Node::List(nodes) | Node::Struct(nodes) | Node::Extreme { args: nodes, .. } => {
                nodes.iter().for_each(visit)
            }
            Node::NullIf { of, left, right, .. } => {
                visit(of);
                visit(left);
                visit(right);
            }
            Node::Cast(node) => visit(&node.of),
            Node::MapValue { map, key } => {
                visit(map);
                visit(key);
            }
            Node::Call { args, .. } | Node::Update { args, .. } => args.iter().for_each(visit),
            Node::Each { list, body, start, .. } => {
                visit(list);
                visit(body);
                start.iter().for_each(|start| visit(start));
            }
        }
    }

    /// True where nothing outside the expression is read: its value is the same for every row.
    fn is_constant(&self) -> bool {
        fn closed(node: &Node, locals_from: usize) -> bool {
            match node {
                Node::Slot(_) => false,
                Node::Local(i) => *i >= locals_from,
                Node::Each { list, body, start, first_local, .. } => {
                    closed(list, locals_from)
                        && start.as_ref().is_none_or(|start| closed(start, locals_from))
                        && closed(body, locals_from.min(*first_local))
                }
                _ => {
                    let mut all = true;
                    node.children(&mut |child| all = all && closed(child, locals_from));
                    all
                }
            }
        }
        closed(self, usize::MAX)
    }

    /// The node as the condition of a CASE: AND and OR stop at the side that decides, as DuckDB's filters do.
    pub fn into_condition(self) -> Node {
        match self {
            Node::And { left, right, .. } => {
                let (left, right) = (Box::new(left.into_condition()), Box::new(right.into_condition()));
                Node::And { left, right, right_can_fail: false, condition: true }
            }
            Node::Or { left, right, .. } => {
                let (left, right) = (Box::new(left.into_condition()), Box::new(right.into_condition()));
                Node::Or { left, right, right_can_fail: false }
            }
            node => node,
        }
    }

    /// A NULL literal makes a strict function NULL without a look at its other arguments (as DuckDB's binder does).
    pub fn is_null_for_certain(&self) -> bool {
        let null = |node: &Node| matches!(node, Node::Const(Value::Null));
        match self {
            Node::Whole(node) => null(&node.left) || null(&node.right),
            Node::Double(node) | Node::Float(node) => null(&node.left) || null(&node.right),
            Node::Call { args, strict: true, .. } => args.iter().any(null),
            _ => false,
        }
    }

    /// Evaluates what is constant. What fails stays as it is and fails where it is reached, as in DuckDB.
    pub fn fold(self) -> Node {
        let mut shallow = !matches!(self, Node::Const(_));
        // Children are folded already: if one is no constant and no lambda's body, neither is this node.
        if !matches!(self, Node::Each { .. }) {
            self.children(&mut |child| shallow = shallow && matches!(child, Node::Const(_)));
        }
        if shallow
            && self.is_constant()
            && let Ok(value) = self.eval(&NoEnv, &mut Vec::new())
        {
            return Node::Const(value);
        }
        if self.is_null_for_certain() {
            return Node::Const(Value::Null);
        }
        match self {
            // A constant side decides without the other, even where the other would fail (as DuckDB's optimizer does).
            Node::And { left, right, .. } if is_bool(&left, false) || is_bool(&right, false) => Node::Const(Value::Bool(false)),
            Node::Or { left, right, .. } if is_bool(&left, true) || is_bool(&right, true) => Node::Const(Value::Bool(true)),
            node => node,
        }
    }

    /// False only where evaluation certainly succeeds.
    pub fn can_fail(&self) -> bool {
        let own = match self {
            Node::Whole(_) => true,
            Node::Cast(node) => !node.or_null,
            Node::Call { .. } | Node::Update { .. } | Node::Each { .. } => true,
            _ => false,
        };
        let mut any = own;
        self.children(&mut |child| any = any || child.can_fail());
        any
    }
}

fn is_bool(node: &Node, wanted: bool) -> bool {
    matches!(node, Node::Const(Value::Bool(b)) if *b == wanted)
}
