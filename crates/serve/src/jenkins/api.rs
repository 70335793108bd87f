//! `…/api/json`, `/api/python` and `/api/xml`: the client's choice, and the three ways to write it.

use hyper::StatusCode;
use tokio::sync::Semaphore;

use super::export::{
    Choice, Dialect, Element, Found, Node, Sheet, TooMuch, Tree, exclude, export, select, write,
};
use crate::builds::{Asked, says};
use crate::http::{Body, Reply, of_type};

/// What XML begins with.
const JSON: &str = "application/json;charset=utf-8";
const PLAIN: &str = "text/plain;charset=utf-8";
const XML: &str = "application/xml;charset=utf-8";

/// How many answers are written at a time: each may hold much, and keep a processor busy.
static AT_A_TIME: Semaphore = Semaphore::const_new(4);

/// How many `exclude=` are heeded.
const MAX_EXCLUDED: usize = 16;

/// What a client wants.
struct Wish {
    dialect: Language,
    tree: Option<Tree>,
    depth: String,
}

enum Language {
    Json(Dialect),
    Xml {
        path: Option<String>,
        wrapper: Option<String>,
        excluded: Vec<String>,
    },
}

/// What was made of it: a type, a content; or a status and why not.
type Made = Result<(&'static str, Vec<u8>), (StatusCode, String)>;

/// Answers with an object. It is written on another thread: it may take a while to ask for everything.
pub(super) async fn show(
    asked: &Asked,
    dialect: &str,
    fill: impl FnOnce(&mut Sheet<'_>) + Send + 'static,
) -> Reply {
    let wish = match Wish::read(asked, dialect) {
        Ok(wish) => wish,
        Err((status, why)) => return says(status, &why),
    };
    // It is never closed: whoever waits has their turn.
    let _turn = AT_A_TIME.acquire().await;
    let made = tokio::task::spawn_blocking(move || wish.make(fill)).await;
    match made {
        Ok(Ok((kind, content))) => of_type(kind, Body::whole(content)),
        Ok(Err((status, why))) => says(status, &why),
        Err(_) => says(
            StatusCode::INTERNAL_SERVER_ERROR,
            "This could not be written down.",
        ),
    }
}

impl Wish {
    fn read(asked: &Asked, dialect: &str) -> Result<Self, (StatusCode, String)> {
        let owned = |name| asked.field(name).map(str::to_owned);
        let dialect = match dialect {
            "json" => Language::Json(Dialect::Json),
            "python" => Language::Json(Dialect::Python),
            "xml" => Language::Xml {
                path: owned("xpath"),
                wrapper: owned("wrapper"),
                excluded: asked
                    .query
                    .fields()
                    .filter(|(name, _)| *name == "exclude")
                    .take(MAX_EXCLUDED)
                    .map(|(_, value)| value.to_owned())
                    .collect(),
            },
            _ => {
                let why = "There is no such format.".to_owned();
                return Err((StatusCode::NOT_FOUND, why));
            }
        };
        let tree = match asked.field("tree").filter(|tree| !tree.is_empty()) {
            Some(tree) => Some(
                Tree::read(tree).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?,
            ),
            None => None,
        };
        Ok(Self {
            dialect,
            tree,
            depth: owned("depth").unwrap_or_default(),
        })
    }

    fn make(self, fill: impl FnOnce(&mut Sheet<'_>)) -> Made {
        let choice = match &self.tree {
            Some(tree) => Choice::Named(tree),
            None => Choice::depth(&self.depth),
        };
        let node = export(choice, fill)
            .map_err(|error: TooMuch| (StatusCode::BAD_REQUEST, error.to_string()))?;
        match self.dialect {
            Language::Json(Dialect::Json) => Ok((JSON, write(&node, Dialect::Json))),
            Language::Json(Dialect::Python) => Ok((PLAIN, write(&node, Dialect::Python))),
            Language::Xml {
                path,
                wrapper,
                excluded,
            } => as_xml(&node, path.as_deref(), wrapper.as_deref(), &excluded),
        }
    }
}

fn as_xml(node: &Node, path: Option<&str>, wrapper: Option<&str>, excluded: &[String]) -> Made {
    let bad = |error: &dyn std::error::Error| (StatusCode::BAD_REQUEST, error.to_string());
    let mut root = Element::root(node);
    for path in excluded {
        exclude(&mut root, path).map_err(|error| bad(&error))?;
    }
    let document = |element: &Element| {
        let mut out = String::new();
        element.write(&mut out);
        (XML, out.into_bytes())
    };
    let Some(path) = path else {
        return Ok(document(&root));
    };
    let several = |count: usize| {
        let why = format!(
            "XPath {path} matched {count} nodes. Create XPath that only matches one, or use the \"wrapper\" query parameter to wrap them all under a root element."
        );
        (StatusCode::INTERNAL_SERVER_ERROR, why)
    };
    let none = || {
        let why = format!("XPath {path} didn't match");
        (StatusCode::NOT_FOUND, why)
    };
    match (select(&root, path).map_err(|error| bad(&error))?, wrapper) {
        (Found::Texts(texts), _) => match texts.as_slice() {
            [] => Err(none()),
            [text] => Ok((PLAIN, text.clone().into_bytes())),
            more => Err(several(more.len())),
        },
        (Found::Elements(elements), Some(wrapper)) => {
            let is_name = wrapper
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_')
                && wrapper.starts_with(|c: char| c.is_ascii_alphabetic());
            if !is_name {
                let why = "the wrapper is no name of an element".to_owned();
                return Err((StatusCode::BAD_REQUEST, why));
            }
            let below = elements.into_iter().cloned().collect();
            Ok(document(&Element::around(wrapper, below)))
        }
        (Found::Elements(elements), None) => match elements.as_slice() {
            [] => Err(none()),
            [element] => Ok(document(element)),
            more => Err(several(more.len())),
        },
    }
}
