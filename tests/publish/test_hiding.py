"""What looks like a secret does not come into the diff; what does not stays readable."""

from __future__ import annotations

import base64

import pytest

from amigen.publish.diff import difference
from amigen.publish.hiding import hide_in, hide_secrets

TOKEN = "ghp_" + "a1B2c3D4e5" * 4
KEY = "AKIA" + "ABCDEFGH12345678"


@pytest.mark.parametrize(
    "line",
    [
        "DB_PASSWORD=hunter2",
        "export PGPASS=hunter2",
        "MYSQL_PWD=hunter2 mysqldump all",
        "PASSWORD='hunter2 and more'",
        'password: "my hunter2 phrase"',
        "password: 'two hunter2'",
        r"PASSWORD=\"hunter2\"",
        'secret=abc"hunter2',
        "token: abc hunter2",
        "  apiKey: hunter2",
        "api-key = some hunter2",
        '{"password": "hunter2", "user": "me"}',
        "{'auth': 'hunter2'}",
        "aws_secret_access_key = hunter2/K7MDENG",
        "passwd: $6$salt$hunter2",
        "  - {name: root, password: hunter2}",
        "//registry.example/:_authToken=hunter2",
        "openssl enc -aes-256-cbc -passin pass:hunter2",
        "kubeadm join 10.0.0.1:6443 --token hunter2",
        "kubeadm join 10.0.0.1:6443 --token abcdef.0123456hunter2abc",
        "tool --password hunter2 --verbose",
        "tool --password 'hunter2 x' --verbose",
        "tool --db-password=hunter2",
        "tool -token hunter2",
        "curl -u admin:hunter2 https://example.org",
        "curl --user 'admin:hunter2' https://example.org",
        "proxy=https://user:hunter2@proxy:3128",
        "git clone https://oauth2:hunter2@example.org/x.git",
        "Authorization: Bearer hunter2",
        "curl -H 'Authorization: Basic hunter2' https://example.org",
        'curl -H "X-Auth-Token: hunter2" https://example.org',
        "mysql -uroot -phunter2",
        "sshpass -p hunter2 ssh node",
        "echo root:hunter2 | chpasswd",
        "echo 'root:hunter2' | sudo chpasswd",
        "chpasswd <<< root:hunter2",
        "echo hunter2 | passwd --stdin root",
        "echo hunter2 | docker login -u me --password-stdin example.org",
        r'key: "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----"',
    ],
)
def test_each_form_is_hidden(line: str) -> None:
    assert "hunter2" not in hide_secrets(line)
    assert "(hidden)" in hide_secrets(line)


@pytest.mark.parametrize(
    "secret",
    [TOKEN, KEY, "glpat-abcdefghij0123456789", "xoxb-1234567890-abcdef", "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl"],
)
def test_what_is_known_by_its_form_is_hidden_anywhere(secret: str) -> None:
    assert hide_secrets(f"use {secret} here") == "use (hidden) here"


@pytest.mark.parametrize(
    "line",
    [
        "#!/bin/bash",
        "set -euo pipefail",
        "echo mine",
        "name: my-node",
        "apiServerEndpoint: https://0123456789.gr7.eu-central-1.eks.amazonaws.com",
        "certificateAuthority: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t",
        "HttpTokens: required",
        "curl -s http://169.254.169.254/latest/meta-data",
        "TOKEN=$(curl -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token)",
        'curl -H "X-aws-ec2-metadata-token: $TOKEN" http://169.254.169.254/latest/meta-data',
        "passwordFile: /run/secrets/db",
        "--kubelet-token-file=/etc/kubernetes/token",
        "--password-file /etc/x",
        "secretName: web-tls",
        "automountServiceAccountToken: false",
        "PasswordAuthentication no",
        "ssh_pwauth: false",
        "lock_passwd: true",
        "docker run -u 1000:1000 busybox",
        "docker run -v /a:/b busybox",
        "mkdir -p /etc/x",
        "PWD=/root",
        "bypass=1",
        "tokenizer: fast",
        "arn:aws:secretsmanager:eu-central-1:111122223333:secret:db",
        "aws ecr get-login-password | docker login --username AWS --password-stdin example.org",
        'echo "$PASSWORD" | docker login --password-stdin example.org',
        "mysql -h db -P 3306 shop",
        "--discovery-token-ca-cert-hash sha256:0123456789abcdef",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIabc user@host",
        "-----BEGIN CERTIFICATE-----",
        "modprobe ip_vs_sed",
        "net.ipv4.vs.conntrack = 1",
        "image: registry.example:5000/team/app:1.2",
        "ssh://git@github.com/amigen/amigen",
    ],
)
def test_ordinary_lines_stay(line: str) -> None:
    assert hide_secrets(line) == line


def test_what_is_before_a_secret_stays() -> None:
    assert hide_secrets("LANG=C DB_PASSWORD=hunter2 ./start") == "LANG=C DB_PASSWORD=(hidden)"
    assert hide_secrets("tool --user me --password x") == "tool --user me --password (hidden)"
    assert hide_secrets("http://me:x@proxy:3128/") == "http://me:(hidden)@proxy:3128/"


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN RSA PRIVATE KEY-----\nhunter2\nhunter2\n-----END RSA PRIVATE KEY-----",
        "  key: |\n    -----BEGIN OPENSSH PRIVATE KEY-----\n    hunter2\n    -----END OPENSSH PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nhunter2 without an end",
        "chpasswd <<EOF\nroot:hunter2\nEOF",
        "chpasswd:\n  expire: false\n  list: |\n    root:hunter2",
        "chpasswd:\n  users:\n    - {name: root, password: hunter2}",
        "db_password: |\n  hunter2\n  hunter2",
        "env:\n  - name: DB_PASSWORD\n    value: hunter2",
    ],
)
def test_secrets_of_several_lines_are_hidden(text: str) -> None:
    lines = [*text.split("\n"), "done: true"]

    found = hide_in(lines)

    assert len(found) == len(lines)
    assert "hunter2" not in "\n".join(found)
    assert found[0] == lines[0]
    assert "PRIVATE" in text or found[-1] == "done: true"


def _user_data(text: str) -> dict[str, str]:
    return {"UserData": base64.b64encode(f"#!/bin/bash\n{text}\n".encode()).decode()}


def test_a_changed_secret_is_a_change_that_shows_nothing() -> None:
    """Also in the middle of a key, whose first line is out of sight, and in tags."""
    key = "-----BEGIN RSA PRIVATE KEY-----\n" + "same\n" * 9 + "{}\n" + "same\n" * 9 + "-----END RSA PRIVATE KEY-----"

    lines = difference(_user_data(key.format("hunter2")), _user_data(key.format("hunter3")))

    assert [line.strip() for line in lines if line.strip().startswith(("-(", "+("))] == ["-(hidden)", "+(hidden)"]
    assert "same" not in "".join(lines)

    def tagged(value: str) -> dict[str, object]:
        return {"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "DB_PASSWORD", "Value": value}]}]}

    changed = "~ TagSpecifications[instance].Tags[DB_PASSWORD]: (hidden) -> (hidden)"
    assert difference(tagged("hunter2"), tagged("hunter3")) == (changed,)
