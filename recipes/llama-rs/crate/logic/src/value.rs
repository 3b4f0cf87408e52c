//! Values as a caller from Python gives them, and settings that are read from them.

use std::ops::{RangeFrom, RangeInclusive};

use crate::error::{Error, Result};

/// A value of Python's.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number that 64 bits cannot hold, as it is written.
    Huge(String),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
    /// What can be iterated over.
    List(Vec<Value>),
    /// A `dict`.
    Table(Vec<(Value, Value)>),
    /// Anything else, by the name of its type.
    Other(String),
}

impl Value {
    fn kind(&self) -> &str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::Huge(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "str",
            Self::List(_) => "a list",
            Self::Table(_) => "dict",
            Self::Other(name) => name,
        }
    }

    /// The error for a value of another type than is wanted.
    pub fn refuse(&self, name: &str, wanted: &str) -> Error {
        match self {
            Self::Huge(number) => Error::value(format!("{name} is out of range: {number}")),
            _ => Error::Type(format!("{name} is {wanted}, not {}", self.kind())),
        }
    }
}

/// A type that a setting may have.
pub trait Setting: Sized {
    /// What a value may be kept within.
    type Bounds: Clone;

    /// Take a value, whatever its size; `Error::Type` where it has another type.
    fn read(name: &str, value: &Value) -> Result<Self>;

    /// Refuse a value that is out of bounds, or that llama.cpp cannot hold.
    fn check(&self, _name: &str, _bounds: Option<Self::Bounds>) -> Result<()> {
        Ok(())
    }
}

impl Setting for bool {
    type Bounds = ();

    fn read(name: &str, value: &Value) -> Result<Self> {
        match value {
            Value::Bool(truth) => Ok(*truth),
            // configuration files write 0 and 1
            Value::Int(0 | 1) => Ok(*value == Value::Int(1)),
            Value::Int(_) | Value::Huge(_) => Err(Error::Type(format!("{name} is True or False, not another int"))),
            _ => Err(value.refuse(name, "True or False")),
        }
    }
}

impl Setting for i64 {
    type Bounds = RangeInclusive<i64>;

    fn read(name: &str, value: &Value) -> Result<Self> {
        match value {
            Value::Int(number) => Ok(*number),
            Value::Bool(truth) => Ok(Self::from(*truth)),
            _ => Err(value.refuse(name, "a whole number")),
        }
    }

    fn check(&self, name: &str, bounds: Option<Self::Bounds>) -> Result<()> {
        match bounds.filter(|bounds| !bounds.contains(self)) {
            Some(bounds) => {
                let (least, most) = bounds.into_inner();
                Err(Error::value(format!("{name} must be from {least} to {most}, and is {self}")))
            }
            None => Ok(()),
        }
    }
}

/// llama.cpp's seeds have 32 bits, and -1 is the largest of them.
impl Setting for u32 {
    type Bounds = ();

    fn read(name: &str, value: &Value) -> Result<Self> {
        i64::read(name, value).map(|number| number as Self)
    }
}

impl Setting for f64 {
    type Bounds = RangeFrom<f64>;

    fn read(name: &str, value: &Value) -> Result<Self> {
        match value {
            Value::Float(number) => Ok(*number),
            _ => i64::read(name, value).map(|number| number as Self).map_err(|_| value.refuse(name, "a number")),
        }
    }

    fn check(&self, name: &str, bounds: Option<Self::Bounds>) -> Result<()> {
        if !(*self as f32).is_finite() {
            return Err(Error::value(format!("{name} must be a finite number, and is {self}")));
        }
        match bounds.filter(|bounds| !bounds.contains(self)) {
            Some(bounds) => Err(Error::value(format!("{name} must be at least {}, and is {self}", bounds.start))),
            None => Ok(()),
        }
    }
}

/// Not given, or a value.
impl<T: Setting> Setting for Option<T> {
    type Bounds = T::Bounds;

    fn read(name: &str, value: &Value) -> Result<Self> {
        if *value == Value::None {
            return Ok(None);
        }
        T::read(name, value).map(Some)
    }

    fn check(&self, name: &str, bounds: Option<Self::Bounds>) -> Result<()> {
        self.as_ref().map_or(Ok(()), |value| value.check(name, bounds))
    }
}

impl Setting for Vec<i64> {
    type Bounds = RangeInclusive<i64>;

    fn read(name: &str, value: &Value) -> Result<Self> {
        match value {
            Value::List(list) => list.iter().map(|number| i64::read(&format!("a value of {name}"), number)).collect(),
            _ => Err(value.refuse(name, "a sequence of whole numbers")),
        }
    }

    fn check(&self, name: &str, bounds: Option<Self::Bounds>) -> Result<()> {
        self.iter().try_for_each(|number| number.check(&format!("a value of {name}"), bounds.clone()))
    }
}

impl Setting for String {
    type Bounds = ();

    fn read(name: &str, value: &Value) -> Result<Self> {
        match value {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(value.refuse(name, "a str")),
        }
    }
}

/// Make a structure of settings from rows of name, type, default and, where it has some, bounds.
///
/// Its names are those that Python gives; `set` reads one, and `check_bounds` looks at all.
macro_rules! settings {
    (
        $(#[$attribute:meta])*
        $structure:ident { $($name:ident: $type:ty = $default:expr $(, in $bounds:expr)?;)* }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq)]
        #[allow(clippy::struct_excessive_bools, missing_docs)]
        pub struct $structure { $(pub $name: $type,)* }

        impl Default for $structure {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl $structure {
            /// The names of all settings.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name),)*];

            /// Take a value; false where no setting has this name.
            pub fn set(&mut self, name: &str, value: &$crate::value::Value) -> $crate::error::Result<bool> {
                match name {
                    $(stringify!($name) => self.$name = $crate::value::Setting::read(name, value)?,)*
                    _ => return Ok(false),
                }
                Ok(true)
            }

            /// Refuse a value that is out of bounds.
            pub fn check_bounds(&self) -> $crate::error::Result<()> {
                $($crate::value::Setting::check(&self.$name, stringify!($name), $crate::value::bounds!($($bounds)?))?;)*
                Ok(())
            }
        }
    };
}

/// Bounds that a row has or has not.
macro_rules! bounds {
    () => {
        None
    };
    ($bounds:expr) => {
        Some($bounds)
    };
}

pub(crate) use {bounds, settings};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_type_is_told_apart_from_a_wrong_size() {
        let huge = Value::Huge("9".repeat(30));
        assert!(matches!(i64::read("n", &Value::Float(1.0)), Err(Error::Type(message)) if message.contains("n is")));
        assert!(matches!(i64::read("n", &huge), Err(Error::Value(message)) if message.contains("999")));
        assert!(matches!(f64::read("n", &huge), Err(Error::Value(_))));
        assert!(matches!(f64::read("n", &Value::Text("1".into())), Err(Error::Type(_))));
        assert!(matches!(bool::read("n", &Value::Int(2)), Err(Error::Type(_))));
        assert!(matches!(bool::read("n", &huge), Err(Error::Type(_))));
        assert!(matches!(Vec::<i64>::read("n", &Value::Int(2)), Err(Error::Type(_))));
        assert!(matches!(String::read("n", &Value::None), Err(Error::Type(_))));
    }

    #[test]
    fn numbers_are_taken_for_each_other_as_in_python() {
        assert_eq!(i64::read("n", &Value::Bool(true)), Ok(1));
        assert_eq!(f64::read("n", &Value::Int(-3)), Ok(-3.0));
        assert_eq!(bool::read("n", &Value::Int(1)), Ok(true));
        assert_eq!(u32::read("n", &Value::Int(-1)), Ok(u32::MAX));
        assert_eq!(Option::<i64>::read("n", &Value::None), Ok(None));
    }

    #[test]
    fn bounds_are_kept() {
        assert!(5_i64.check("n", Some(0..=4)).is_err() && 4_i64.check("n", Some(0..=4)).is_ok());
        assert!(
            (-1.0).check("n", Some(0.0..)).is_err() && 1e39.check("n", None).is_err() && 0.0.check("n", None).is_ok()
        );
        assert!(Some(5_i64).check("n", Some(0..=4)).is_err() && None::<i64>.check("n", Some(0..=4)).is_ok());
        assert!(vec![1_i64, 5].check("n", Some(0..=4)).is_err());
    }
}
