//! `hudson.model.ParametersDefinitionProperty`: what is asked of who starts a build.

use ward_config::job::{Parameter, ParameterKind};

use super::{Done, Map};
use crate::jenkins::document::Element;
use crate::jenkins::refusal::BadDocument;

impl Map {
    pub(super) fn parameters(&mut self, property: &Element) -> Done {
        self.within(property, |map, definitions| {
            if definitions.name() != "parameterDefinitions" {
                map.option(definitions, true);
                return Ok(());
            }
            map.within(definitions, |map, definition| {
                match map.parameter(definition)? {
                    Some(parameter) => map.job.parameters.push(parameter),
                    None => map.thing(definition, true),
                }
                Ok(())
            })
        })
    }

    fn parameter(&mut self, definition: &Element) -> Result<Option<Parameter>, BadDocument> {
        let name = definition.name();
        let Some(kind) = name
            .strip_prefix("hudson.model.")
            .and_then(|name| name.strip_suffix("ParameterDefinition"))
        else {
            return Ok(None);
        };
        let text = |tag: &str| {
            let child = definition.child(tag);
            child.map(|child| child.text.clone()).unwrap_or_default()
        };
        let flag =
            |map: &Self, tag: &str| definition.child(tag).map_or(Ok(false), |it| map.flag(it));
        let kind = match kind {
            "String" => ParameterKind::Text {
                default: text("defaultValue"),
                trim: flag(self, "trim")?,
            },
            "Text" => ParameterKind::Lines {
                default: text("defaultValue").replace("\r\n", "\n"),
            },
            "Boolean" => ParameterKind::Boolean {
                default: flag(self, "defaultValue")?,
            },
            "Choice" => {
                let mut choices = Vec::new();
                if let Some(element) = definition.child("choices") {
                    strings(element, &mut choices);
                }
                if choices.is_empty() {
                    return Err(self.bad(definition, "there is nothing to choose from"));
                }
                ParameterKind::Choice { choices }
            }
            "Password" => ParameterKind::Password {
                default: text("defaultValue"),
            },
            _ => return Ok(None),
        };
        let parameter = Parameter {
            name: text("name").trim().to_owned(),
            description: text("description"),
            kind,
        };
        if parameter.name.is_empty() || parameter.name.contains(['=', '\0', '\n']) {
            return Err(self.bad(definition, "a parameter needs a name, without `=` in it"));
        }
        self.within(definition, |map, part| {
            match part.name().as_str() {
                "name" | "description" | "defaultValue" | "trim" | "choices" => {}
                _ => map.option(part, false),
            }
            Ok(())
        })?;
        Ok(Some(parameter))
    }
}

/// Every `<string>`, however many lists of Java's are around them.
fn strings(element: &Element, found: &mut Vec<String>) {
    for child in &element.children {
        if child.tag == "string" {
            found.push(child.text.clone());
        } else {
            strings(child, found);
        }
    }
}
