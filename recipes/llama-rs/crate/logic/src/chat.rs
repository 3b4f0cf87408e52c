//! Chat templates, rendered as Python's jinja2 renders them, with bounds.
//!
//! The environment is that of transformers: blocks are trimmed, loops can be left, and templates may call
//! `raise_exception` and `strftime_now`. A template reads nothing but its context.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error as TemplateError, ErrorKind};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;

use crate::error::{Error, Result};

mod json;

use json::PythonFormatter;

const MOST_STEPS: u64 = 20_000_000;
const MOST_BYTES: usize = 64 << 20;
const DEEPEST_RECURSION: usize = 200;
const MOST_INDENT: usize = 64;

/// Formats the present time, as `strftime` does.
pub type Clock = Arc<dyn Fn(&str) -> std::result::Result<String, String> + Send + Sync>;

/// Render a template with a JSON object as its context.
///
/// # Errors
///
/// `Error::Value` with the template's own message for `raise_exception`, or saying what is wrong with the template.
pub fn render_chat(template: &str, context_json: &str, clock: Clock) -> Result<String> {
    let context: Value = serde_json::from_str(context_json)
        .map_err(|error| Error::value(format!("the context of the template is no JSON: {error}")))?;
    let source = replace_generation_tags(template);
    let environment = make_environment(clock).map_err(|error| explain(&error))?;
    let mut output = Bounded::default();
    let compiled = environment.template_from_named_str("chat template", &source).map_err(|error| explain(&error))?;
    let rendered = compiled.render_captured_to(context, &mut output);
    if output.is_full {
        return Err(Error::value(format!("the chat template gives more than {MOST_BYTES} bytes")));
    }
    rendered.map_err(|error| explain(&error))?;
    String::from_utf8(output.bytes).map_err(|_| Error::value("the chat template gives bytes that are no text"))
}

fn make_environment(clock: Clock) -> std::result::Result<Environment<'static>, TemplateError> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.set_fuel(Some(MOST_STEPS));
    environment.set_recursion_limit(DEEPEST_RECURSION);
    environment.add_filter("tojson", write_json);
    environment.add_function("raise_exception", |message: String| -> std::result::Result<Value, TemplateError> {
        Err(TemplateError::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
    });
    environment.add_function("strftime_now", move |format: String| {
        clock(&format).map_err(|message| TemplateError::new(ErrorKind::InvalidOperation, message))
    });
    Ok(environment)
}

/// What a template said with `raise_exception`.
#[derive(Debug)]
struct Raised(String);

impl fmt::Display for Raised {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

fn explain(error: &TemplateError) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(raised) = current.downcast_ref::<Raised>() {
            return Error::value(raised.0.clone());
        }
        cause = current.source();
    }
    if error.kind() == ErrorKind::OutOfFuel {
        return Error::value(format!("the chat template takes more than {MOST_STEPS} steps"));
    }
    Error::value(format!("the chat template cannot be rendered: {error}"))
}

/// transformers marks what an assistant says with tags of its own; they change nothing in the text.
fn replace_generation_tags(template: &str) -> String {
    let mut source = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let (before, tag) = (&rest[..start], &rest[start..start + length + 2]);
        source.push_str(before);
        let name = tag[2..length].trim_matches(['-', '+']).trim();
        match name {
            "generation" => source.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => source.push_str(&tag.replace("endgeneration", "endif")),
            _ => source.push_str(tag),
        }
        rest = &rest[start + length + 2..];
    }
    source.push_str(rest);
    source
}

/// As `json.dumps(value, ensure_ascii=False, indent=indent)`.
#[allow(clippy::needless_pass_by_value)] // minijinja hands them over
fn write_json(value: &Value, options: Kwargs) -> std::result::Result<Value, TemplateError> {
    let indent: Option<usize> = options.get("indent")?;
    let _: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let mut bytes = Vec::new();
    let indent = indent.map(|width| " ".repeat(width.min(MOST_INDENT)));
    let formatter = PythonFormatter::new(indent);
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))
        .map_err(|error| TemplateError::new(ErrorKind::InvalidOperation, format!("tojson: {error}")))?;
    Ok(Value::from(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Output that refuses to grow without end.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    is_full: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MOST_BYTES {
            self.is_full = true;
            return Err(io::Error::other("the output is full"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render_with(template: &str, context: &str) -> Result<String> {
        render_chat(template, context, Arc::new(|format| Ok(format!("<{format}>"))))
    }

    fn render(template: &str) -> String {
        let context = r#"{"messages": [{"role": "system", "content": " Be kind. "}, {"role": "user", "content": "a b"}],
            "bos_token": "<s>", "add_generation_prompt": true, "tools": [{"name": "é", "n": [1, 2.5, null], "e": {}}]}"#;
        render_with(template, context).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn chat_ml_is_rendered() {
        let template = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + \
                        '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
        let expected =
            "<|im_start|>system\n Be kind. <|im_end|>\n<|im_start|>user\na b<|im_end|>\n<|im_start|>assistant\n";
        assert_eq!(render(template), expected);
    }

    #[test]
    fn what_templates_use_is_there() {
        assert_eq!(render("{{ messages[0].content | trim }}"), "Be kind.");
        assert_eq!(render("{{ messages[0]['content'].strip() }}"), "Be kind.");
        assert_eq!(render("{{ messages[1].content.split(' ')[-1] }}"), "b");
        assert_eq!(render("{% for m in messages[1:] %}{{ loop.index0 }}{{ m.role }}{% endfor %}"), "0user");
        assert_eq!(render("{{ tools is defined }} {{ nothing is defined }} {{ nothing }}"), "True False ");
        assert_eq!(
            render(
                "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}"
            ),
            "2"
        );
        assert_eq!(
            render("{% for m in messages %}{% if loop.index0 == 1 %}{% break %}{% endif %}{{ m.role }}{% endfor %}"),
            "system"
        );
        assert_eq!(render("{%- macro f(x) %}[{{ x }}]{% endmacro %}{{ f(bos_token) }}"), "[<s>]");
        assert_eq!(render("{{ strftime_now('%d %b %Y') }}"), "<%d %b %Y>");
        assert_eq!(render("{% generation %}x{%- endgeneration -%}  y"), "xy");
    }

    #[test]
    fn blocks_are_trimmed() {
        assert_eq!(render("  {% if true %}\n  x\n  {% endif %}\ny\n"), "  x\ny");
    }

    #[test]
    fn json_is_that_of_python() {
        let line = r#"[{"name": "é", "n": [1, 2.5, null], "e": {}}]"#;
        let lines = "[\n  {\n    \"name\": \"é\",\n    \"n\": [\n      1,\n      2.5,\n      null\n    ],\n    \"e\": {}\n  }\n]";
        assert_eq!(render("{{ tools | tojson }}"), line);
        assert_eq!(render("{{ tools | tojson(indent=2) }}"), lines);
    }

    #[test]
    fn a_template_may_refuse() {
        assert_eq!(render("{{ raise_exception('Only user roles!') }}"), "Only user roles!");
        let called = "{% macro f() %}{{ raise_exception('inside') }}{% endmacro %}{{ f() }}";
        assert_eq!(render(called), "inside");
    }

    #[test]
    fn bad_templates_are_errors() {
        assert!(render("{% if %}").contains("chat template"));
        assert!(render("{% include 'file' %}").contains("chat template"));
        assert!(render_with("x", "{").is_err());
        let nested = "(".repeat(100_000);
        assert!(render(&format!("{{{{ {nested} }}}}")).contains("chat template"));
    }

    #[test]
    fn steps_and_output_are_bounded() {
        let steps = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}";
        assert!(render(steps).contains("steps"));
        let bytes = "{% for a in range(99) %}{{ 'x' * 10000000 }}{% endfor %}";
        assert!(render(bytes).contains("bytes"));
        assert!(render("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}").contains("chat template"));
    }
}
