use super::*;
#[test]
fn economic_is_valid() {
    assert_eq!(Taxonomy::economic().id(), "economic@1");
}
