"""`amigen.export`: golden files, and the tools that will read them.

Not proven here: that AWS takes what cfn-lint takes, `terraform plan` with the providers, and Karpenter's validation
rules in CEL (its schema judges types, enums, patterns and required fields). AWSTOE is judged by its documented schema.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from amigen.base.errors import InputError
from amigen.export import image_builder, terraform
from amigen.export.formats import FORMATS, export_files
from amigen.export.model import Export
from amigen.export.terraform import escaped
from amigen.plan.make import plan_image, plan_images
from amigen.publish.names import targets
from amigen.render.artifacts import Artifact
from amigen.scripts.bootstrap import bootstrap_script
from amigen.spec.load import load_spec
from amigen.userdata import mime
from amigen.userdata.explain import explain
from amigen.userdata.make import user_data
from amigen.userdata.mime import Part
from amigen.userdata.packed import unpack
from tests.export import awstoe
from tests.export.modules import module_file
from tests.real.build import program
from tests.render.test_golden import renew
from tests.specs import GOLDEN, joins, spec

EXPECTED = Path(__file__).parent / "golden"
AMIS = {"x86_64": "ami-0123456789abcdef0", "arm64": "ami-0fedcba9876543210"}
# Text that means something in each of the languages.
HOSTILE = {
    "aws": {
        "tags": {"number": "1e3", "answer": "yes", "aws/x": "0x1f"},
        "launchTemplate": {"instanceTypes": {"x86_64": "m6i.large"}, "hopLimit": 2},
    },
    "hooks": {"after": [{"name": "hostile", "script": "echo '${HOME} %{x} {{ .Names }} $$'\n"}]},
}


def all_exports() -> Iterator[tuple[str, Artifact]]:
    """Every format of a node that joins, of one that does not, and of both families; with and without a record."""
    cases = {
        "al2023": (spec(joins(labels={"pool": "a"}, taints=["dedicated=a:NoSchedule"]), HOSTILE), "al2023"),
        "bare": (spec({"architectures": ["x86_64", "arm64"]}), "al2023"),
        "ubuntu": (spec({"platforms": ["ubuntu-24.04"]}, joins(), HOSTILE), "ubuntu-24.04"),
    }
    for case, (node_image, platform) in cases.items():
        for name, kind in FORMATS.items():
            for source in kind.images or (None,):
                if source == "stock" and case == "ubuntu" and name in ("karpenter", "eksctl"):
                    continue
                amis = AMIS if source == "record" else None
                for each in export_files(
                    plan_image(node_image, platform), name, image=source, amis=amis, cluster="web", merge=None
                ):
                    yield f"{case}/{name}-{source}", each


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All exports as files."""
    root = tmp_path_factory.mktemp("export")
    for name, each in all_exports():
        file = root / name / each.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(each.content)
    return root


def documents(folder: Path, pattern: str) -> list[Any]:
    found = [each for file in sorted(folder.glob(pattern)) for each in yaml.safe_load_all(file.read_text())]
    assert found, pattern
    return found


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"ssm-document"}))
def test_files_are_the_golden_ones(name: Any, renew_golden: bool) -> None:
    """Of a spec that joins, with a script of one line in place of amigen's, which has goldens of its own."""
    (plan,) = plan_images(load_spec(GOLDEN / "eks-al2023-nodeadm" / "spec.yaml"))
    parts = (Part(type=mime.SHELL, content=b"#!/bin/sh\ntrue\n", filename="a.sh", origin="amigen"),)
    kind = FORMATS[name]
    made = kind.files(Export(plan=plan, user_data=mime.write(parts), image=kind.images[0]))
    wanted = tuple(Artifact(path=path, content=_without_scripts(content)) for path, content in sorted(made.items()))
    where = EXPECTED / name
    if renew_golden:
        renew(where, wanted)

    there = {file.relative_to(where).as_posix(): file.read_bytes() for file in where.rglob("*") if file.is_file()}
    assert there == {each.path: each.content for each in wanted}


def _without_scripts(content: bytes) -> bytes:
    """Without the documents of Image Builder's components, and without the version that they give."""
    content = re.sub(rb"Version: '1\.0\.[0-9]+'", b"Version: 1.0.N", content)
    return re.sub(rb"( Data: )(\|\n( {8,}[^\n]*\n|\n)+|[^\n]*\n)", rb"\1(component)\n", content)


def test_terraform_is_as_fmt_has_it(folder: Path) -> None:
    """By terraform itself."""
    if not shutil.which("terraform"):
        pytest.skip("not proven here: no terraform")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    done = subprocess.run(
        ["terraform", "fmt", "-check", "-diff", "-recursive", str(folder)],
        capture_output=True,
        text=True,
        env=clean,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_terraform_is_as_hclwrite_has_it(folder: Path, tmp_path: Path) -> None:
    """By the formatter of HCL in Packer, which is that of `terraform fmt`, where there is no Terraform."""
    for number, file in enumerate(sorted(folder.rglob("*.tf"))):
        (tmp_path / f"{number}.pkr.hcl").write_bytes(file.read_bytes())
    done = subprocess.run(
        [program("packer"), "fmt", "-check", "-diff", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_terraform_is_hcl(folder: Path) -> None:
    """By a parser of HCL; what is a value in the spec is the same value there."""
    hcl2 = pytest.importorskip("hcl2")
    for file in sorted(folder.rglob("*.tf")):
        parsed = hcl2.loads(file.read_text())
        assert parsed, file
    modules = list(folder.glob("*/*/eks-module/main.tf"))
    assert len(modules) == 9
    for file in modules:
        assert "enable_bootstrap_user_data = true" in file.read_text() or "stock" in str(file)


def test_terraform_reads_the_values_of_the_spec(folder: Path, tmp_path: Path) -> None:
    """terraform evaluates the quoted tag and the escaped user data; no provider is needed for that."""
    if not shutil.which("terraform"):
        pytest.skip("not proven here: no terraform")
    hostile = "${self.x} %{ if } {{ y }} 'q' \"d\" \\ #"
    made = terraform.files(
        Export(plan=plan_image(spec(), "al2023"), user_data=b"#!/bin/sh\n", image="stock", cluster=hostile)
    )
    lines = made["eks-module/main.tf"].decode().splitlines()
    tag = next(line.split("=", 1)[1].strip() for line in lines if line.strip().startswith("default"))
    document_there = (folder / "ubuntu/terraform-record/launch-template/user-data.mime").read_bytes()
    (tmp_path / "t.tftpl").write_bytes((folder / "ubuntu/terraform-record/eks-module/user-data.tftpl").read_bytes())
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    expression = f'jsonencode([{tag}, base64encode(templatefile("t.tftpl", {{}}))])\n'
    done = subprocess.run(
        ["terraform", "console"], input=expression, capture_output=True, text=True, cwd=tmp_path, env=clean, timeout=120
    )
    value, document = json.loads(json.loads(done.stdout))

    assert value == hostile
    assert base64.b64decode(document) == document_there


def test_the_external_program_prints_what_terraform_reads(folder: Path, tmp_path: Path) -> None:
    """JSON of strings, with the user data of the spec; amigen's failure is its failure."""
    text = (folder / "bare/terraform-parameter/external/main.tf").read_text()
    (listed,) = re.findall(r"program = (\[.*\])$", text, re.M)
    program, *words = json.loads(listed.replace("var.spec", '"SPEC"'))
    where = tmp_path / "spec.yaml"
    where.write_text((GOLDEN / "minimal/spec.yaml").read_text())

    def run(spec: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", program, *(spec if word == "SPEC" else word for word in words)]
        return subprocess.run(command, capture_output=True, cwd=Path(__file__).parents[2], timeout=120, check=False)

    found = json.loads(run(str(where)).stdout)
    assert base64.b64decode(found["user_data_base64"]) == user_data(plan_image(load_spec(where), "al2023"))
    assert all(isinstance(value, str) for value in found.values())
    assert {"content_type", "content"} <= json.loads(found["parts"])[0].keys()
    assert run("/no/such").returncode != 0


def test_karpenter_by_its_own_schema(folder: Path) -> None:
    """The CRDs of the module that Karpenter is built from."""
    for crd, kind in (("karpenter.k8s.aws_ec2nodeclasses", "EC2NodeClass"), ("karpenter.sh_nodepools", "NodePool")):
        definition = yaml.safe_load(
            module_file("github.com/aws/karpenter-provider-aws", "v1.14.1", f"pkg/apis/crds/{crd}.yaml").read_text()
        )
        schema = _closed(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
        found = [each for each in documents(folder, "*/karpenter-*/karpenter.yaml") if each["kind"] == kind]
        assert len(found) > 9
        for each in found:
            jsonschema.validate(each, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**found[0], "spec": {**found[0]["spec"], "unknown": 1}}, schema)


def _closed(schema: Any) -> Any:
    """The schema with unknown fields refused, as `kubectl apply` with strict validation refuses them."""
    if isinstance(schema, dict):
        closed = {key: _closed(value) for key, value in schema.items()}
        if "properties" in schema and "additionalProperties" not in schema and schema.get("type") == "object":
            closed["additionalProperties"] = False
        if closed.get("properties", {}).get("metadata") == {"type": "object"}:
            closed["properties"]["metadata"] = {}
        return closed
    return [_closed(each) for each in schema] if isinstance(schema, list) else schema


def test_karpenter_can_use_the_user_data(folder: Path) -> None:
    """What Karpenter merges into arrives: by the reader of `amigen user-data explain`."""
    for each in documents(folder, "*/karpenter-*/karpenter.yaml"):
        if each["kind"] == "EC2NodeClass":
            nodeadm = each["spec"]["amiFamily"] == "AL2023"
            found = explain(each["spec"]["userData"].encode(), "karpenter", nodeadm=nodeadm)
            assert [p.message for p in found.problems if p.severity == "error"] == []


def test_eksctl_by_its_own_schema(folder: Path) -> None:
    """The schema of the module that eksctl is built from."""
    schema = json.loads(
        module_file(
            "github.com/weaveworks/eksctl", "v0.215.0", "pkg/apis/eksctl.io/v1alpha5/assets/schema.json"
        ).read_text()
    )
    found = documents(folder, "*/eksctl-*/cluster.yaml")
    assert len(found) == 5
    for each in found:
        jsonschema.validate(each, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**found[0], "unknown": 1}, schema)


@pytest.mark.slow
def test_cloudformation_by_cfn_lint(folder: Path) -> None:
    """Launch templates and Image Builder's resources, in all regions that cfn-lint knows by default."""
    cfn_lint = shutil.which("cfn-lint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if not cfn_lint:
        pytest.skip("not proven here: no cfn-lint")
    files = [
        str(f) for pattern in ("*/cloudformation-*/*", "*/image-builder-*/*") for f in sorted(folder.glob(pattern))
    ]
    assert len(files) == 12
    done = subprocess.run([cfn_lint, *files], capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stdout


def test_cloudformation_carries_the_user_data(folder: Path) -> None:
    """To the byte."""
    for each in documents(folder, "ubuntu/cloudformation-*/*"):
        (template,) = each["Resources"].values()
        carried = template["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"]
        assert carried.encode() == (folder / "ubuntu/terraform-record/launch-template/user-data.mime").read_bytes()


def test_image_builder_by_the_documented_schema(folder: Path) -> None:
    """Small enough, of known phases and actions, and without what AWSTOE takes for its own variables."""
    seen = set()
    for each in documents(folder, "*/image-builder-*/image-builder.yaml"):
        for resource in each["Resources"].values():
            if resource["Type"] == "AWS::ImageBuilder::Component":
                data = resource["Properties"]["Data"]
                assert len(data) <= image_builder.LIMIT
                component = yaml.safe_load(data)
                assert [*awstoe.findings(component)] == []
                seen |= {phase["name"] for phase in component["phases"]}

    assert seen == {"build", "validate", "test"}


def broken(change: Callable[[Any], Any]) -> list[str]:
    """What the judge finds in a component with a change."""
    found = image_builder.component_documents(Export(plan=plan_image(spec(), "al2023"), user_data=b"", image="stock"))
    change(found["Build"])
    return [*awstoe.findings(found["Build"])]


def test_the_judge_of_components_refuses_what_is_wrong() -> None:
    """Else its silence would say nothing."""

    def bash(doc: Any) -> Any:
        return doc["phases"][0]["steps"][0]

    def reboot(doc: Any) -> Any:
        return doc["phases"][0]["steps"][1]

    changes: list[Callable[[Any], Any]] = [
        lambda doc: doc.pop("schemaVersion"),
        lambda doc: doc["phases"][0].update(name="install"),
        lambda doc: doc["phases"].append(doc["phases"][0]),
        lambda doc: reboot(doc).update(name=bash(doc)["name"]),
        lambda doc: reboot(doc).update(timeoutSeconds=5),
        lambda doc: reboot(doc).update(inputs={"delay": 1}),
        lambda doc: bash(doc).update(timeoutSeconds=0),
        lambda doc: bash(doc).update(onFailure="Retry"),
        lambda doc: bash(doc).update(inputs={"commands": "true"}),
        lambda doc: bash(doc).update(inputs={"commands": ["echo {{ build.x.outputs.stdout }}"]}),
        lambda doc: bash(doc).update(unknown=1),
    ]
    assert broken(lambda doc: None) == []
    assert [number for number, change in enumerate(changes) if not broken(change)] == []


def test_image_builder_runs_our_scripts(folder: Path, tmp_path: Path) -> None:
    """What a component runs is what Packer would run: it unpacks itself to that very script."""
    plan = plan_image(spec({"platforms": ["ubuntu-24.04"]}, joins(), HOSTILE), "ubuntu-24.04")
    found = image_builder.component_documents(Export(plan=plan, user_data=b"", image="stock"))
    commands = found["Build"]["phases"][0]["steps"][0]["inputs"]["commands"]

    assert [unpack(each.encode()) for each in commands] == [bootstrap_script(plan, user_data=False).encode()]


@pytest.mark.parametrize(
    ("change", "name", "options", "message"),
    [
        ({"platforms": ["debian-12"]}, "karpenter", {"cluster": "x"}, "debian-12 has no EKS image"),
        ({"platforms": ["ubuntu-24.04"]}, "karpenter", {"cluster": "x"}, "the spec does not join a cluster"),
        ({}, "karpenter", {}, "the spec names no cluster"),
        ({}, "eksctl", {"image": "tags", "cluster": "x"}, "eksctl cannot take --image tags"),
        ({}, "cloudformation", {"amis": {"arm64": "ami-1"}}, "the build record has no AMI of al2023/x86_64"),
        ({}, "karpenter", {"cluster": "a b"}, "'a b' is not the name of an EKS cluster"),
        ({"platforms": ["debian-12"]}, "image-builder", {}, "no SSM parameter names the source AMI of debian-12"),
    ],
)
def test_what_cannot_be_is_refused(change: Any, name: Any, options: Any, message: str) -> None:
    """With the reason and the way out."""
    node_image = spec(change)
    with pytest.raises(InputError, match=message) as error:
        export_files(plan_image(node_image, node_image.platforms[0]), name, **options)

    assert error.value.hint


def test_the_parameter_is_that_of_publish() -> None:
    """Two rooms, one name."""
    node_image = spec()
    (plan,) = plan_images(node_image)

    assert Export(plan=plan, user_data=b"", image="parameter").parameter("x86_64") == targets(node_image)[0].parameter


def test_escaped_text_for_templatefile() -> None:
    """Also where the mark is doubled already."""
    assert escaped("${a} %{b} $${c}") == "$${a} %%{b} $$${c}"


def test_a_source_ami_that_the_spec_names_is_the_stock_image() -> None:
    """By its id, where a format takes ids."""
    ami = "ami-00000000000000001"
    plan = plan_image(spec({"aws": {"sourceAmis": {"al2023": {"id": ami}}}}), "al2023")
    for name in ("terraform", "karpenter", "cloudformation", "image-builder"):
        found = export_files(plan, name, image="stock", cluster="web")
        assert any(ami.encode() in each.content for each in found), name


def test_only_what_checks_nodes_asks_whether_they_have_joined() -> None:
    [plan] = plan_images(spec(joins()))
    [alone], [joined] = (export_files(plan, "ssm-document", joined=each) for each in (False, True))

    assert b"test_joined" not in alone.content
    assert b"test_joined" in joined.content
    with pytest.raises(InputError, match="karpenter does not check"):
        export_files(plan, "karpenter", joined=True)
