//! A pod template, read into a digest and the few facts about its containers.
//!
//! Two templates are the same if their digests are (`truths.md` 12: the new ReplicaSet is the one
//! with the Deployment's template, less the label that the controller adds). The digest is taken
//! while the bytes are parsed, so no template is ever held. It ignores the order of keys and what is
//! null or empty, as the controller's own comparison does.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::meta::label;

/// What is known of a pod template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// Equal for equal templates, whatever their `pod-template-hash`.
    pub digest: u64,
    /// Its containers, in the order in which they are written, init containers where they stand.
    pub containers: Vec<TemplateContainer>,
}

/// One container of a template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateContainer {
    /// Its name.
    pub name: String,
    /// Its image as it was written.
    pub image: String,
    /// It is an init container or sidecar.
    pub init: bool,
    /// It has a readiness probe.
    pub has_readiness: bool,
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let mut containers = Vec::new();
        let digest = Fold { place: Place::Template, containers: &mut containers }
            .deserialize(input)?
            .unwrap_or_default();
        Ok(Template { digest, containers })
    }
}

/// Label of a template that was written by [`Template`]: what stands for all that was not kept of it.
const STAND_IN: &str = "rollcast.dev/template";

/// Writes a template that reads as the same containers, and that equals another one if that had the same
/// digest. What else was in it, such as the values of variables, is lost.
impl Serialize for Template {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        let labels = One(STAND_IN, self.digest.to_string());
        let mut map = output.serialize_map(Some(2))?;
        map.serialize_entry("metadata", &One("labels", labels))?;
        map.serialize_entry("spec", &Containers(&self.containers))?;
        map.end()
    }
}

/// A map of one entry.
struct One<T>(&'static str, T);

impl<T: Serialize> Serialize for One<T> {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        let mut map = output.serialize_map(Some(1))?;
        map.serialize_entry(self.0, &self.1)?;
        map.end()
    }
}

/// The containers in the order in which they were read.
struct Containers<'a>(&'a [TemplateContainer]);

impl Serialize for Containers<'_> {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        let first = self.0.first().is_some_and(|container| container.init);
        let mut map = output.serialize_map(None)?;
        for init in [first, !first] {
            let of_kind: Vec<_> =
                self.0.iter().filter(|it| it.init == init).map(Container).collect();
            let key = if init { "initContainers" } else { "containers" };
            if !of_kind.is_empty() {
                map.serialize_entry(key, &of_kind)?;
            }
        }
        map.end()
    }
}

struct Container<'a>(&'a TemplateContainer);

impl Serialize for Container<'_> {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        let mut map = output.serialize_map(None)?;
        map.serialize_entry("name", &self.0.name)?;
        map.serialize_entry("image", &self.0.image)?;
        if self.0.has_readiness {
            // An empty one would count as absent.
            map.serialize_entry("readinessProbe", &One("kept", true))?;
        }
        map.end()
    }
}

/// Where in the template a value stands, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Template,
    Metadata,
    Labels,
    Spec,
    Containers { init: bool },
    Container { init: bool },
    Name,
    Image,
    Probe,
    Elsewhere,
}

impl Place {
    fn below(self, key: &str) -> Place {
        match (self, key) {
            (Place::Template, "metadata") => Place::Metadata,
            (Place::Template, "spec") => Place::Spec,
            (Place::Metadata, "labels") => Place::Labels,
            (Place::Spec, "containers") => Place::Containers { init: false },
            (Place::Spec, "initContainers") => Place::Containers { init: true },
            (Place::Container { .. }, "name") => Place::Name,
            (Place::Container { .. }, "image") => Place::Image,
            (Place::Container { .. }, "readinessProbe") => Place::Probe,
            _ => Place::Elsewhere,
        }
    }

    fn item(self) -> Place {
        match self {
            Place::Containers { init } => Place::Container { init },
            _ => Place::Elsewhere,
        }
    }
}

/// Labels that controllers add to the template of a ReplicaSet.
const CONTROLLERS: [&str; 2] = [label::POD_TEMPLATE_HASH, label::ROLLOUTS_POD_TEMPLATE_HASH];

// Tells values of different kinds apart whose bytes are the same.
const TEXT: u64 = 1;
const NUMBER: u64 = 2;
const LIST: u64 = 3;
const MAP: u64 = 4;
const TRUE: u64 = 5;
const FALSE: u64 = 6;

/// Folds one value into its digest; `None` for what counts as absent.
struct Fold<'a> {
    place: Place,
    containers: &'a mut Vec<TemplateContainer>,
}

impl<'de> DeserializeSeed<'de> for Fold<'_> {
    type Value = Option<u64>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Option<u64>, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fold<'_> {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a part of a pod template")
    }

    fn visit_unit<E>(self) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Option<u64>, E> {
        Ok(Some(if value { TRUE } else { FALSE }))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Option<u64>, E> {
        Ok(Some(xxh3_64_with_seed(&value.to_le_bytes(), NUMBER)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Option<u64>, E> {
        Ok(Some(xxh3_64_with_seed(&value.to_le_bytes(), NUMBER)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Option<u64>, E> {
        Ok(Some(xxh3_64_with_seed(&value.to_bits().to_le_bytes(), NUMBER)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Option<u64>, E> {
        if let Some(container) = self.containers.last_mut() {
            match self.place {
                Place::Name => value.clone_into(&mut container.name),
                Place::Image => value.clone_into(&mut container.image),
                _ => {}
            }
        }
        Ok((!value.is_empty()).then(|| xxh3_64_with_seed(value.as_bytes(), TEXT)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Option<u64>, A::Error> {
        let place = self.place.item();
        let mut digest = LIST;
        let mut empty = true;
        loop {
            let fold = Fold { place, containers: &mut *self.containers };
            let Some(item) = list.next_element_seed(fold)? else { break };
            empty = false;
            digest = xxh3_64_with_seed(&item.unwrap_or_default().to_le_bytes(), digest);
        }
        Ok((!empty).then_some(digest))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<u64>, A::Error> {
        if let Place::Container { init } = self.place {
            self.containers.push(TemplateContainer { init, ..TemplateContainer::default() });
        }
        let mut digest = MAP;
        let mut empty = true;
        while let Some(key) = map.next_key::<String>()? {
            let place = self.place.below(&key);
            let value = map.next_value_seed(Fold { place, containers: &mut *self.containers })?;
            let Some(value) = value else { continue };
            if self.place == Place::Labels && CONTROLLERS.contains(&key.as_str()) {
                continue;
            }
            if place == Place::Probe
                && let Some(container) = self.containers.last_mut()
            {
                container.has_readiness = true;
            }
            empty = false;
            // A sum does not know an order.
            let entry = xxh3_64_with_seed(&value.to_le_bytes(), xxh3_64(key.as_bytes()));
            digest = digest.wrapping_add(entry);
        }
        Ok((!empty).then(|| xxh3_64(&digest.to_le_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Template {
        serde_json::from_str(text).unwrap()
    }

    const ONE: &str = r#"{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[
        {"name":"app","image":"shop/web:1","readinessProbe":{"periodSeconds":1},
         "env":[{"name":"A","value":"1"},{"name":"B","value":"2"}]}],
        "initContainers":[{"name":"setup","image":"shop/setup:1"}]}}"#;

    #[test]
    fn the_controllers_own_label_and_the_order_of_keys_do_not_count() {
        let other = r#"{"spec":{"initContainers":[{"image":"shop/setup:1","name":"setup"}],
            "nodeSelector":{},"volumes":null,"containers":[
            {"env":[{"value":"1","name":"A"},{"name":"B","value":"2"}],"image":"shop/web:1",
             "readinessProbe":{"periodSeconds":1},"name":"app"}]},
            "metadata":{"creationTimestamp":null,
            "labels":{"pod-template-hash":"6c9f","app":"web"}}}"#;
        assert_eq!(read(ONE).digest, read(other).digest);
    }

    #[test]
    fn every_other_difference_counts() {
        for (from, to) in [
            ("shop/web:1", "shop/web:2"),
            (r#""value":"1""#, r#""value":1"#),
            (r#""value":"1""#, r#""value":true"#),
            (r#""app":"web""#, r#""app":"web","tier":"front""#),
            (
                r#"{"name":"A","value":"1"},{"name":"B","value":"2"}"#,
                r#"{"name":"B","value":"2"},{"name":"A","value":"1"}"#,
            ),
            (r#""periodSeconds":1"#, r#""periodSeconds":2"#),
        ] {
            assert!(ONE.contains(from));
            assert_ne!(read(ONE).digest, read(&ONE.replace(from, to)).digest, "{from} -> {to}");
        }
    }

    #[test]
    fn what_is_written_of_a_template_reads_as_the_same_and_tells_no_more() {
        let other = ONE.replace(r#""value":"2""#, r#""value":"secret""#);
        let again = |text: &str| {
            let written = serde_json::to_string(&read(text)).unwrap();
            assert!(!written.contains("env") && !written.contains("secret"), "{written}");
            read(&written)
        };
        assert_eq!(again(ONE).containers, read(ONE).containers);
        assert_eq!(again(ONE), again(ONE));
        assert_ne!(again(ONE).digest, again(&other).digest);
    }

    #[test]
    fn containers_are_known_with_image_and_probe() {
        let containers = read(ONE).containers;
        assert_eq!(containers.len(), 2);
        assert_eq!(
            (containers[0].name.as_str(), containers[0].image.as_str()),
            ("app", "shop/web:1")
        );
        assert!(containers[0].has_readiness && !containers[0].init);
        assert!(containers[1].init && !containers[1].has_readiness);
    }
}
