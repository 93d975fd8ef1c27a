"""Sharing with everybody."""

from __future__ import annotations

from tests.publish.world import BUILD_REGION, COPY_REGION, World

PUBLIC = "share: {public: true}\nencryption: {enabled: false}"


def test_an_image_is_made_public_in_all_regions_once(world: World) -> None:
    world.write_spec(PUBLIC)
    world.build()

    planned = world.publish("--dry-run")
    first = world.publish()
    again = world.publish("--dry-run")

    assert (first.code, again.code) == (0, 0), first.err + again.err
    assert "make the image public" in planned.out
    assert "make the image public" not in again.out
    for region in (BUILD_REGION, COPY_REGION):
        (image,) = world.client("ec2", region).describe_images(Owners=["self"])["Images"]
        assert image["Public"]
    (entry, *_) = world.ledger["entries"].values()
    assert "shared" in entry["steps"]
