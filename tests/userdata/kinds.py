"""Documents of the kinds that public bug reports tell of, one slip each."""

# ruff: noqa: E501

from __future__ import annotations

import base64
import gzip
import json

from tests.userdata.test_nodeadm_judges import MORE, NODE

S = b"#!/bin/bash\necho hello\n"


def m(
    *bodies: bytes,
    head: bytes = b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="BND"\n\n',
    end: bytes = b"--BND--\n",
    nl: bytes = b"\n",
) -> bytes:
    d = head + b"".join(b"--BND\n" + x + b"\n" for x in bodies) + end
    return d.replace(b"\n", nl)


SH = b'Content-Type: text/x-shellscript; charset="us-ascii"\n\n' + S
NC = b"Content-Type: application/node.eks.aws\n\n" + NODE
CC = b"Content-Type: text/cloud-config\n\n#cloud-config\npackages: [htop]\n"


def enc(x: bytes, t: bytes, cte: bytes = b"base64") -> bytes:
    return b"Content-Type: " + t + b"\nContent-Transfer-Encoding: " + cte + b"\n\n" + x


b64 = base64.encodebytes
KINDS: dict[str, bytes] = {
    "nested": m(b'Content-Type: multipart/mixed; boundary="IN"\n\n--IN\n' + SH + b"\n--IN\n" + NC + b"\n--IN--\n"),
    "nested alternative with NC outside": m(
        b'Content-Type: multipart/mixed; boundary="IN"\n\n--IN\n' + SH + b"\n--IN--\n", NC
    ),
    "multipart/alternative": m(
        SH, NC, head=b'MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary="BND"\n\n'
    ),
    "Multipart/Mixed caps": m(SH, NC, head=b'MIME-Version: 1.0\nContent-Type: Multipart/Mixed; Boundary="BND"\n\n'),
    "base64 script": m(enc(b64(S), b"text/x-shellscript"), NC),
    "base64 NC": m(SH, enc(b64(NODE), b"application/node.eks.aws")),
    "base64 caps BASE64": m(enc(b64(S), b"text/x-shellscript", b"BASE64"), NC),
    "base64 NC with spaces": m(SH, enc(b64(NODE).replace(b"\n", b" \n"), b"application/node.eks.aws")),
    "gzip NC base64": m(SH, enc(b64(gzip.compress(NODE)), b"application/node.eks.aws")),
    "gzip NC type gzip": m(SH, enc(b64(gzip.compress(NODE)), b"application/gzip")),
    "gzip script": m(enc(b64(gzip.compress(S)), b"application/x-gzip"), NC),
    "qp NC": m(SH, enc(NODE.replace(b"=", b"=3D"), b"application/node.eks.aws", b"quoted-printable")),
    "qp NC raw =": m(SH, enc(NODE, b"application/node.eks.aws", b"quoted-printable")),
    "8bit": m(SH, enc(NODE, b"application/node.eks.aws", b"8bit")),
    "unknown cte": m(enc(S, b"text/x-shellscript", b"x-uu"), enc(NODE, b"application/node.eks.aws", b"x-foo")),
    "crlf all": m(SH, NC, nl=b"\r\n"),
    "crlf shell only": m(SH.replace(b"\n", b"\r\n"), NC),
    "crlf shell body only": m(SH.replace(S, S.replace(b"\n", b"\r\n")), NC),
    "crlf head only": m(SH, NC).replace(b"MIME-Version: 1.0\n", b"MIME-Version: 1.0\r\n"),
    "cr only": m(SH, NC, nl=b"\r"),
    "bom": b"\xef\xbb\xbf" + m(SH, NC),
    "bom in script": m(SH.replace(S, b"\xef\xbb\xbf" + S), NC),
    "bom NC": m(SH, NC.replace(NODE, b"\xef\xbb\xbf" + NODE)),
    "bom shell": b"\xef\xbb\xbf" + S,
    "bom cc": b"\xef\xbb\xbf#cloud-config\npackages: [htop]\n",
    "bom NC alone": b"\xef\xbb\xbf" + NODE,
    "utf16": (S.decode()).encode("utf-16"),
    "utf16 NC": NODE.decode().encode("utf-16"),
    "no final": m(SH, NC, end=b""),
    "no final no newline": m(SH, NC, end=b"").rstrip(b"\n"),
    "final w/o newline": m(SH, NC, end=b"--BND--"),
    "final with blanks": m(SH, NC, end=b"--BND--  \n"),
    "text after final": m(SH, NC, end=b"--BND--\nbye\n--BND\n" + SH),
    "parts after final": m(SH, end=b"--BND--\n--BND\n" + NC + b"\n--BND--\n"),
    "a bad name server": NODE + b"  instance: {network: {nameservers: [dns.internal]}}\n",
    "preamble": m(SH, NC).replace(b"\n\n--BND", b"\n\nThis is multi-part\n--BND", 1),
    "preamble long": m(SH, NC).replace(b"\n\n--BND", b"\n\n" + b"x" * 5000 + b"\n--BND", 1),
    "boundary in content": m(SH.replace(b"echo hello", b"cat <<X\n--BND\nX"), NC),
    "boundary w/ blanks": m(SH, NC).replace(b"--BND\n", b"--BND \n"),
    "boundary prefix in content": m(SH.replace(b"echo hello", b"cat <<X\n--BNDX\nX"), NC),
    "boundary dashes in content": m(SH.replace(b"echo hello", b"cat <<X\n--BND--x\nX"), NC),
    "boundary final in content": m(SH.replace(b"echo hello", b"cat <<X\n--BND--\nX"), NC),
    "two boundaries row": m(SH, b"", NC),
    "empty part": m(SH, b"\n", NC),
    "part only headers": m(SH, b"Content-Type: text/plain\n", NC),
    "empty boundary": m(SH, NC, head=b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=""\n\n'),
    "single-quoted boundary": m(SH, NC, head=b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary='BND'\n\n"),
    "boundary eq unquoted": m(
        SH, NC, head=b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary===BND==\n\n"
    ).replace(b"--BND", b"--==BND=="),
    "boundary space after": m(SH, NC, head=b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary = "BND"\n\n'),
    "boundary in pieces": m(
        SH, NC, head=b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary*0="B"; boundary*1="ND"\n\n'
    ),
    "boundary with charset": m(
        SH, NC, head=b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary*=us-ascii'en'B%4ED\n\n"
    ),
    "comma separated": m(SH, NC, head=b'MIME-Version: 1.0\nContent-Type: multipart/mixed, boundary="BND"\n\n'),
    "folded header": m(SH, NC, head=b'MIME-Version: 1.0\nContent-Type: multipart/mixed;\n  boundary="BND"\n\n'),
    "Content-type lower": m(SH, NC, head=b'mime-version: 1.0\ncontent-type: multipart/mixed; boundary="BND"\n\n'),
    "content-type first": m(SH, NC, head=b'Content-Type: multipart/mixed; boundary="BND"\nMIME-Version: 1.0\n\n'),
    "extra headers": m(
        SH,
        NC,
        head=b'MIME-Version: 1.0\nFrom: x\nNumber-Attachments: 2\nContent-Type: multipart/mixed; boundary="BND"\n\n',
    ),
    "From line": b"From nobody Tue Dec  3 19:00:57 2013\n" + m(SH, NC),
    "params": m(
        b'Content-Type: text/x-shellscript; charset=us-ascii; name=a.sh\nMIME-Version: 1.0\nContent-Transfer-Encoding: 7bit\nContent-Disposition: attachment; filename="a.sh"\n\n'
        + S,
        NC,
    ),
    "param no semicolon": m(b'Content-Type: text/x-shellscript charset="us-ascii"\n\n' + S, NC),
    "trailing semicolon": m(b"Content-Type: text/x-shellscript;\n\n" + S, NC),
    "dup param": m(b"Content-Type: text/x-shellscript; charset=a; charset=b\n\n" + S, NC),
    "dup param same": m(b"Content-Type: text/x-shellscript; charset=a; charset=a\n\n" + S, NC),
    "unclosed quote": m(b'Content-Type: text/x-shellscript; charset="us-ascii\n\n' + S, NC),
    "NC with charset": m(SH, NC.replace(b"node.eks.aws\n", b"node.eks.aws; charset=utf-8\n", 1)),
    "NC caps": m(SH, NC.replace(b"application/node.eks.aws\n", b"Application/Node.eks.aws\n", 1)),
    "NC x-": m(SH, NC.replace(b"application/node.eks.aws\n", b"application/yaml\n", 1)),
    "NC text/plain": m(SH, NC.replace(b"application/node.eks.aws\n", b"text/plain\n", 1)),
    "shell text/plain": m(SH.replace(b"x-shellscript", b"plain"), NC),
    "text/x-shellscript typo": m(SH.replace(b"x-shellscript", b"x-shell"), NC),
    "text/x-sh": m(SH.replace(b"text/x-shellscript", b"application/x-sh"), NC),
    "filename with path": m(
        b'Content-Type: text/x-shellscript\nContent-Disposition: attachment; filename="../../a b.sh"\n\n' + S, NC
    ),
    "filename rfc2231": m(
        b"Content-Type: text/x-shellscript\nContent-Disposition: attachment; filename*=utf-8''%C3%A4.sh\n\n" + S, NC
    ),
    "filename encoded": m(
        b'Content-Type: text/x-shellscript\nContent-Disposition: attachment; filename="=?utf-8?b?w6Q=?=.sh"\n\n' + S, NC
    ),
    "filename umlaut": m(
        'Content-Type: text/x-shellscript\nContent-Disposition: attachment; filename="ä.sh"\n\n'.encode() + S, NC
    ),
    "filename only umlaut": m(
        'Content-Type: text/x-shellscript\nContent-Disposition: attachment; filename="ä"\n\n'.encode() + S, NC
    ),
    "gzip all": gzip.compress(m(SH, NC)),
    "gzip in members": gzip.compress(m(SH, NC)[:90]) + gzip.compress(m(SH, NC)[90:]),
    "gzip and a character": gzip.compress(m(SH, NC)) + b"=",
    "gzip part with a name": m(enc(b64(gzip.compress(S)), b'application/x-gzip; name="a.sh"'), NC),
    "plain part with a name": m(b'Content-Type: text/plain; name="a.sh"\n\n' + S, NC),
    "script with a name": m(b'Content-Type: text/x-shellscript; name="a.sh"\n\n' + S, NC),
    "gzip twice": gzip.compress(gzip.compress(m(SH, NC))),
    "b64 all": base64.b64encode(m(SH, NC)),
    "b64 twice": base64.b64encode(base64.b64encode(m(SH, NC))),
    "b64 gzip": base64.b64encode(gzip.compress(m(SH, NC))),
    "gzip NC alone": gzip.compress(NODE),
    "b64 NC": base64.b64encode(NODE),
    "two NC": m(SH, NC, NC.replace(b"110", b"5")),
    "NC twice cluster split": m(SH, NC, NC.replace(NODE, MORE)),
    "two docs NC": m(SH, NC + b"---\n" + MORE),
    "NC anchors": m(SH, NC + b"x: &a {b: c}\ny: *a\n"),
    "NC tabs": m(SH, NC + b"\tx: y\n"),
    "NC dup keys": m(SH, NC + b"kind: NodeConfig\n"),
    "NC dup kubelet": m(SH, NC + b"  kubelet: {flags: [--v=9]}\n"),
    "bootstrap in comment": b"#!/bin/bash\n# /etc/eks/bootstrap.sh web\necho\n",
    "bootstrap in echo": b"#!/bin/bash\necho '/etc/eks/bootstrap.sh web'\n",
    "nodeadm in comment": b"#!/bin/bash\n# nodeadm init\n",
    "bootstrap call": b"#!/bin/bash\nset -e\n/etc/eks/bootstrap.sh web --kubelet-extra-args '--x'\n",
    "bootstrap var": b"#!/bin/bash\nB=/etc/eks/bootstrap.sh\n$B web\n",
    "bootstrap trailing comment": b"#!/bin/bash\ntrue # /etc/eks/bootstrap.sh\n",
    "AL2's kubelet-config.json": b"#!/bin/bash\njq .maxPods=50 /etc/kubernetes/kubelet/kubelet-config.json\n",
    "a drop-in for kubelet": b"#!/bin/bash\necho {} > /etc/kubernetes/kubelet/config.json.d/50-mine.conf\n",
    "json NC": json.dumps(
        {
            "apiVersion": "node.eks.aws/v1alpha1",
            "kind": "NodeConfig",
            "spec": {
                "cluster": {
                    "name": "a",
                    "apiServerEndpoint": "https://x",
                    "certificateAuthority": "YQ==",
                    "cidr": "10.0.0.0/16",
                }
            },
        }
    ).encode(),
    "json NC part": m(
        SH,
        b"Content-Type: application/node.eks.aws\n\n"
        + json.dumps(
            {
                "apiVersion": "node.eks.aws/v1alpha1",
                "kind": "NodeConfig",
                "spec": {
                    "cluster": {
                        "name": "a",
                        "apiServerEndpoint": "https://x",
                        "certificateAuthority": "YQ==",
                        "cidr": "10.0.0.0/16",
                    }
                },
            },
            indent=1,
        ).encode(),
    ),
    "json list": b'[{"a":1}]',
    "json trailing comma": b'{"apiVersion": "node.eks.aws/v1alpha1", "kind": "NodeConfig",}',
    "json spaces": b'\n  {"apiVersion": "node.eks.aws/v1alpha1", "kind": "NodeConfig"}',
    "win shell": S.replace(b"\n", b"\r\n"),
    "win cc": b"#cloud-config\r\npackages: [htop]\r\n",
    "win NC": NODE.replace(b"\n", b"\r\n"),
    "boothook": b"#cloud-boothook\n#!/bin/bash\necho hi\n",
    "boothook no shebang": b"#cloud-boothook\necho hi\n",
    "boothook part": m(b"Content-Type: text/cloud-boothook\n\n#cloud-boothook\n#!/bin/sh\necho x\n", NC),
    "jinja cc": b"## template: jinja\n#cloud-config\npackages: [htop]\n",
    "jinja sh": b"## template: jinja\n#!/bin/sh\necho {{ v1.region }}\n",
    "jinja NC": b"## template: jinja\n" + NODE,
    "jinja caps": b"## Template: Jinja\n#!/bin/sh\necho\n",
    "jinja in sh part": m(SH.replace(S, b"## template: jinja\n" + S), NC),
    "jinja undefined": b"## template: jinja\n#!/bin/sh\necho {{ nix }}\n",
    "empty": b"",
    "newline": b"\n",
    "spaces": b"   ",
    "comments": b"# only\n# comments\n",
    "comments sh": b"#!/bin/sh\n# x\n",
    "cc empty": b"#cloud-config\n",
    "cc comments": b"#cloud-config\n# nothing\n",
    "cc list": b"#cloud-config\n- a\n",
    "cc str": b"#cloud-config\nhello\n",
    "cc tab": b"#cloud-config\npackages:\n\t- a\n",
    "cc first blank": b"\n#cloud-config\npackages: [htop]\n",
    "cc space": b"# cloud-config\npackages: [htop]\n",
    "cc caps": b"#Cloud-Config\npackages: [htop]\n",
    "cc trailing": b"#cloud-config  \npackages: [htop]\n",
    "cc-x": b"#cloud-configs\npackages: [htop]\n",
    "cc jsonp": b'#cloud-config-jsonp\n[{"op":"add","path":"/packages","value":["htop"]}]\n',
    "cc no header in part": m(b"Content-Type: text/cloud-config\n\npackages: [htop]\n", NC),
    "cc in sh part": m(b"Content-Type: text/x-shellscript\n\n#cloud-config\npackages: [htop]\n", NC),
    "sh in cc part": m(b"Content-Type: text/cloud-config\n\n" + S, NC),
    "cc dup": m(CC, CC.replace(b"htop", b"jq"), NC),
    "include": b"#include\nfile:///nix\n",
    "part-handler": b"#part-handler\n#vi: syntax=python\ndef list_types():\n  return ['text/x-a']\ndef handle_part(a,b,c,d):\n  pass\n",
    "powershell": b"<powershell>\necho\n</powershell>\n",
    "indented by Terraform": b"".join(b"    " + line for line in m(SH, NC).splitlines(keepends=True)),
    "cc below a comment": b"# ours\n#cloud-config\npackages: [htop]\n",
    "toml bottlerocket": b"[settings.kubernetes]\nmax-pods = 3\n",
    "xml persist": b"<script>x</script>",
    "env shebang": b"#!/usr/bin/env bash\nnodeadm init -c file:///x\n",
    "sh space": b"#! /bin/sh\necho\n",
    "sh leading space": b"  #!/bin/sh\necho\n",
    "sh leading nl": b"\n\n#!/bin/sh\necho\n",
    "sh no nl": b"#!/bin/sh",
    "sh nul": b"#!/bin/sh\necho \x00\n",
    "latin1": "#!/bin/sh\necho ä\n".encode("latin-1"),
    "utf8": "#!/bin/sh\necho ä\n".encode(),
    "emoji": "#!/bin/sh\necho 😀\n".encode(),
    "utf8 part": m('Content-Type: text/x-shellscript; charset="utf-8"\n\n#!/bin/sh\necho ä\n'.encode(), NC),
    "utf8 part 8bit": m(
        'Content-Type: text/x-shellscript; charset="utf-8"\nContent-Transfer-Encoding: 8bit\n\n#!/bin/sh\necho ä\n'.encode(),
        NC,
    ),
    "utf8 cc part": m('Content-Type: text/cloud-config; charset="utf-8"\n\n#cloud-config\nx: ä\n'.encode(), NC),
    "utf8 NC": m(SH, NC.replace(b"blue", "bläu".encode())),
    "latin1 NC": m(SH, NC.replace(b"blue", b"bl\xe4u")),
    "charset utf-16 script": m(b"Content-Type: text/x-shellscript; charset=utf-16\n\n" + S, NC),
    "charset unknown": m(b"Content-Type: text/x-shellscript; charset=foo\n\n" + S, NC),
    "per-boot": m(b"Content-Type: text/x-shellscript-per-boot\n\n" + S, NC),
    "per-boot no shebang": m(b"Content-Type: text/x-shellscript-per-boot\n\necho\n", NC),
    "mergetype": m(
        b"Content-Type: text/cloud-config\nMerge-Type: list(append)\n\n#cloud-config\npackages: [htop]\n", NC
    ),
    "launch-index": m(b"Content-Type: text/x-shellscript\nLaunch-Index: 3\n\n" + S, NC),
    "header no space": m(b"Content-Type:text/x-shellscript\n\n" + S, NC),
    "header space before colon": m(b"Content-Type : text/x-shellscript\n\n" + S, NC),
    "header missing in part": m(S, NC),
    "header umlaut": m("Content-Type: text/x-shellscript\nX-Ä: b\n\n".encode() + S, NC),
    "two CT": m(b"Content-Type: text/x-shellscript\nContent-Type: text/plain\n\n" + S, NC),
    "two CT head": m(
        SH, NC, head=b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="BND"\nContent-Type: text/plain\n\n'
    ),
    "indented": b"\n".join(b"  " + line for line in m(SH, NC).split(b"\n")),
    "leading space first": b" " + m(SH, NC),
    "leading nl": b"\n" + m(SH, NC),
    "no blank after head": m(SH, NC).replace(b"\n\n--BND", b"\n--BND", 1),
    "no mime-version": m(SH, NC, head=b'Content-Type: multipart/mixed; boundary="BND"\n\n'),
    "NC Kind": NODE.replace(b"kind:", b"Kind:"),
    "NC apiversion": NODE.replace(b"apiVersion", b"apiversion"),
    "NC indented by Terraform": NODE.replace(b"---\n", b"").replace(b"\n", b"\n    ").join((b"    ", b"")),
    "NC YAML 1.2": b"%YAML 1.2\n" + NODE,
    "NC YAML 1.1": b"# ours\n%YAML 1.1\n" + NODE,
    "NC json with a BOM": b"\xef\xbb\xbf"
    + json.dumps({"apiVersion": "node.eks.aws/v1alpha1", "kind": "NodeConfig"}).encode(),
    "NC in a NodeClass": b"kind: EC2NodeClass\nspec:\n  userData: |\n" + NODE.replace(b"\n", b"\n    "),
    "NC for an Outpost": NODE.replace(b"    cidr", b"    enableOutpost: true\n    cidr"),
    "NC with a number too large for TOML": NODE + b"  containerd: {config: 'a = 9223372036854775808'}\n",
    "NC with an escaped apostrophe": NODE.replace(b"--v=2", b"\"--node-labels=\\'a=b\\'\""),
    "NC with an escape of TOML 1.1": NODE + b"  containerd: {config: 'a = \"\\e[0m \\\\e\"'}\n",
    "NC with a fraction too large for TOML": NODE + b"  containerd: {config: 'a = 1e400'}\n",
    "gzip and a line end": gzip.compress(m(SH, NC)) + b"\n",
    "gzip in two members": gzip.compress(m(SH, NC)[:40]) + gzip.compress(m(SH, NC)[40:]),
    "gzip of base64": gzip.compress(base64.b64encode(m(SH, NC))),
    "MIME-Version with a blank": m(SH, NC).replace(b"MIME-Version:", b"MIME-Version :"),
    "a form feed first": b"\f" + m(SH, NC),
    "a name that is a folder": m(SH.replace(b'"\n', b'"\nContent-Disposition: attachment; filename=".."\n', 1), NC),
    "a name that is too long": m(SH.replace(b"script;", b'script; name="' + b"a" * 256 + b'";'), NC),
    "bom in base64": m(enc(base64.b64encode(b"\xef\xbb\xbf" + S), b"text/x-shellscript"), NC),
    "latin1 in base64": m(enc(base64.b64encode("#!/bin/sh\necho ä\n".encode("latin-1")), b"text/x-shellscript"), NC),
    "text in the place of base64": m(enc(S, b"text/x-shellscript"), NC),
    "gzip without its type": m(enc(b64(gzip.compress(S)), b"text/x-shellscript"), NC),
    "a no-break space before #!": m(b"Content-Type: text/x-shellscript\n\n\xc2\xa0" + S, NC),
    "umlaut without #!": m("Content-Type: text/x-shellscript\n\necho ä\n".encode(), NC),
    "upstart in sh part": m(b"Content-Type: text/x-shellscript\n\n#upstart-job\nx\n", NC),
    "an empty entry of write_files": m(b"Content-Type: text/cloud-config\n\n#cloud-config\nwrite_files:\n-\n", NC),
    "a comment before the headers": b"# made by Terraform\n" + m(SH, NC),
    "a shebang before the headers": b"#!/bin/bash\n" + m(SH, NC),
    "a shebang among the headers": m(SH, NC).replace(b"Content-Type", b"#!/bin/bash\nContent-Type", 1),
    "dashes before the headers": b"---\n" + m(SH, NC),
    "cloud-config before the headers": b"#cloud-config\n" + m(SH, NC),
    "headers in a script": b"#!/bin/bash\ncat > /tmp/x <<EOF\n" + m(SH, NC) + b"EOF\n",
    "NC below a shebang": b"#!/bin/bash\n" + NODE,
    "NC with old Mac line ends": NODE.replace(b"\n", b"\r"),
    "NC of v1alpha": NODE.replace(b"v1alpha1", b"v1alpha"),
    "NC of eks.aws": NODE.replace(b"node.eks.aws", b"eks.aws"),
    "NC in capitals": NODE.replace(b"apiVersion", b"APIVersion").replace(b"kind", b"Kind").replace(b"spec", b"Spec"),
    "NC with spec twice": NODE + b"spec:\n  kubelet: {config: {maxPods: 5}}\n",
    "cc with runcmd twice": m(CC + b"runcmd: [a]\nruncmd: [b]\n", NC),
    "cc of nothing": m(b"Content-Type: text/cloud-config\n\n#cloud-config\n# nothing yet\n", NC),
    "cc with a mapping in a command": m(CC + b"runcmd:\n- [sh, -c, echo a: b]\n", NC),
    "blank before #!, alone": b"\n#!/bin/bash\necho\n",
    "env with an option": m(SH.replace(b"#!/bin/bash", b"#!/usr/bin/env bash -e"), NC),
    "AL2's variables": m(SH.replace(b"echo hello", b'export KUBELET_EXTRA_ARGS="--max-pods=9"'), NC),
    "Karpenter's boundary, not read by it": m(SH, CC).replace(b"BND", b"//").replace(b"MIME-V", b"Mime-V"),
    "Karpenter's boundary and a cluster": m(SH, NC).replace(b"BND", b"//").replace(b"MIME-V", b"Mime-V"),
    "cloud-config among the headers": m(b"Content-Type: text/cloud-config\nhostname: x\nfqdn: y.z\n", NC),
    "NC among the headers": m(SH, NC.replace(b"\n\n---", b"")),
    "an empty line before the headers of a part": m(b"\n" + SH, NC),
    "a boundary that is indented": m(SH, NC, NC).replace(
        b"\n--BND\nContent-Type: app", b"\n  --BND\nContent-Type: app", 1
    ),
    "a boundary behind text": m(SH, NC, NC).replace(b"hello\n\n--BND", b"hello--BND", 1),
    "single part mime": b"MIME-Version: 1.0\nContent-Type: text/x-shellscript\n\n" + S,
    "single part mime NC": b"MIME-Version: 1.0\nContent-Type: application/node.eks.aws\n\n" + NODE,
    "single part mime cc": b"Content-Type: text/cloud-config\nMIME-Version: 1.0\n\n#cloud-config\npackages: [htop]\n",
}
