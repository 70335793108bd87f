//! An object that is being written down: as much of it as is wanted.

use std::cell::Cell;

use super::node::{Node, Object};
use super::prune::{Choice, Range};

/// How many values one answer may hold.
const MAX_VALUES: usize = 400_000;

/// An answer would hold too many values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer would hold more than 400000 values; ask for less by tree=")]
pub(in crate::jenkins) struct TooMuch;

/// An object that is being written down.
pub(in crate::jenkins) struct Sheet<'t> {
    choice: Choice<'t>,
    object: Object,
    left: &'t Cell<usize>,
}

/// Writes down an object.
///
/// # Errors
/// It would be too much.
pub(in crate::jenkins) fn export(
    choice: Choice<'_>,
    fill: impl FnOnce(&mut Sheet<'_>),
) -> Result<Node, TooMuch> {
    let left = Cell::new(MAX_VALUES);
    let mut sheet = Sheet {
        choice,
        object: Object::default(),
        left: &left,
    };
    fill(&mut sheet);
    let object = sheet.object;
    // The last one is never spent where there was enough.
    if left.get() == 0 {
        return Err(TooMuch);
    }
    Ok(Node::Object(object))
}

impl<'t> Sheet<'t> {
    /// Its Java class.
    pub(in crate::jenkins) fn class(&mut self, class: &'static str) {
        self.object.class = Some(class);
    }

    /// A value. Its visibility: 1 is seen on the object itself, 2 also where it is part of another,
    /// 999 everywhere, -2 only by name.
    pub(in crate::jenkins) fn put<N: Into<Node>>(
        &mut self,
        name: &'static str,
        visibility: i32,
        value: impl FnOnce() -> N,
    ) {
        if self.choice.of(name, visibility).is_some() && self.spend() {
            self.object.fields.push((name, value().into()));
        }
    }

    /// An object.
    pub(in crate::jenkins) fn nest(
        &mut self,
        name: &'static str,
        visibility: i32,
        fill: impl FnOnce(&mut Sheet<'t>),
    ) {
        if let Some((choice, _)) = self.choice.of(name, visibility)
            && self.spend()
        {
            let object = self.child(choice, fill);
            self.object.fields.push((name, object));
        }
    }

    /// An object, or nothing.
    pub(in crate::jenkins) fn nest_some<T>(
        &mut self,
        name: &'static str,
        visibility: i32,
        made: impl FnOnce() -> Option<T>,
        fill: impl FnOnce(T, &mut Sheet<'t>),
    ) {
        if let Some((choice, _)) = self.choice.of(name, visibility)
            && self.spend()
        {
            let node = match made() {
                Some(thing) => self.child(choice, |sheet| fill(thing, sheet)),
                None => Node::Null,
            };
            self.object.fields.push((name, node));
        }
    }

    /// A list of objects; `items` may give more than are wanted, or those wanted alone if it heeds the
    /// range's end.
    pub(in crate::jenkins) fn each<T, I: IntoIterator<Item = T>>(
        &mut self,
        name: &'static str,
        visibility: i32,
        items: impl FnOnce(Range) -> I,
        mut fill: impl FnMut(T, &mut Sheet<'t>),
    ) {
        let Some((choice, range)) = self.choice.of(name, visibility) else {
            return;
        };
        let mut list = Vec::new();
        let count = range.to.saturating_sub(range.from);
        for item in items(range).into_iter().skip(range.from).take(count) {
            if !self.spend() {
                break;
            }
            list.push(self.child(choice, |sheet| fill(item, sheet)));
        }
        self.object.fields.push((name, Node::List(list)));
    }

    fn child(&self, choice: Choice<'t>, fill: impl FnOnce(&mut Sheet<'t>)) -> Node {
        let mut sheet = Sheet {
            choice,
            object: Object::default(),
            left: self.left,
        };
        fill(&mut sheet);
        Node::Object(sheet.object)
    }

    /// One value more, if there may be one.
    fn spend(&self) -> bool {
        let left = self.left.get().saturating_sub(1);
        self.left.set(left);
        left > 0
    }
}
