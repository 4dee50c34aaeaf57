"""Checks rendered Kubernetes objects, then that broken ones would be found. See ../kubernetes.sh."""

import copy
import json
import sys

import jsonschema
import kubernetes_validate
import yaml
from kubernetes_validate.utils import schema_contents

# The oldest with the `sleep` of preStop on by default, and the newest there is.
VERSIONS = ["1.30", "1.37"]


def pods(objects):
    """Name, labels and spec of every pod that the objects make."""
    for it in objects:
        if it["kind"] in ("Deployment", "Job"):
            template = it["spec"]["template"]
            yield it["metadata"]["name"], template["metadata"]["labels"], template["spec"]


class Schemas:
    """Answers what a schema has against an object, each object asked about only once."""

    def __init__(self, cluster_schema):
        self.cluster_schema = cluster_schema
        self.known = {}

    def problems(self, it):
        text = json.dumps(it, sort_keys=True)
        if text not in self.known:
            self.known[text] = [problem for version in VERSIONS for problem in self.look(it, version)]
        return self.known[text]

    def look(self, it, version):
        name = f"{it.get('kind')}/{it.get('metadata', {}).get('name')}"
        try:
            if it.get("apiVersion") == "restate.dev/v1":
                jsonschema.validate(it, with_types(self.cluster_schema, version), jsonschema.Draft202012Validator)
            else:
                kubernetes_validate.validate(it, version, strict=True)
        except jsonschema.ValidationError as error:
            where = ".".join(str(part) for part in error.absolute_path)
            yield f"{name}: {where}: {error.message[:200]} (Kubernetes {version})"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield f"{name}: {error} (Kubernetes {version})"


def with_types(cluster_schema, version):
    """The operator's schema together with Kubernetes' own types, to which it refers."""
    text = json.dumps(cluster_schema).replace("_definitions.json#", "#")
    schema = json.loads(text)
    types = schema_contents(f"kubernetes-json-schema/v{version}.0-local-strict/_definitions.json", version)
    schema["$defs"] |= types["$defs"]
    return schema


def rule_problems(objects):
    """What a schema cannot say."""
    made = list(pods(objects))
    for it in objects:
        name = f"{it['kind']}/{it['metadata']['name']}"
        if it["kind"] == "Secret":
            yield f"{name}: no secret belongs into a file"
        selector = it.get("spec", {}).get("selector")
        if it["kind"] in ("Service", "PodDisruptionBudget", "Deployment"):
            labels = selector.get("matchLabels", selector)
            if not any(labels.items() <= pod_labels.items() for _, pod_labels, _ in made):
                yield f"{name}: selects no pod"
    for name, _, spec in made:
        for container in spec["containers"]:
            security = container.get("securityContext", {})
            if not spec.get("securityContext", {}).get("runAsNonRoot"):
                yield f"{name}: may run as root"
            if not security.get("readOnlyRootFilesystem") or security.get("allowPrivilegeEscalation", True):
                yield f"{name}: may write to its image, or gain privileges"
            if security.get("capabilities", {}).get("drop") != ["ALL"]:
                yield f"{name}: keeps capabilities"
            if "memory" not in container.get("resources", {}).get("limits", {}):
                yield f"{name}: has no memory limit"
            if ":" not in container["image"] or container["image"].endswith(":latest"):
                yield f"{name}: its image is not pinned"


def problems(objects, schemas):
    found = [problem for it in objects for problem in schemas.problems(it)]
    return found or list(rule_problems(objects))


def broken(objects):
    """Copies with one mistake each, and what is wrong with them."""

    def find(them, kind):
        return next(it for it in them if it["kind"] == kind)

    def container(them):
        return find(them, "Deployment")["spec"]["template"]["spec"]["containers"][0]

    mistakes = {
        "a field that does not exist": lambda them: find(them, "Deployment")["spec"].update(replica=2),
        "a number that is a text": lambda them: find(them, "Deployment")["spec"].update(replicas="two"),
        "a kind that does not exist": lambda them: find(them, "Job").update(kind="Jobs"),
        "a misspelt setting of the cluster": lambda them: find(them, "RestateCluster")["spec"]["compute"].update(replica=3),
        "a part of Kubernetes inside it": lambda them: find(them, "RestateCluster")["spec"]["compute"]["env"][0].update(vale=""),
        "a cluster without an image": lambda them: find(them, "RestateCluster")["spec"]["compute"].pop("image"),
        "a secret in a file": lambda them: them.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}),
        "a Service for nobody": lambda them: find(them, "Service")["spec"]["selector"].update(app="other"),
        "an image of any version": lambda them: container(them).update(image="classify:latest"),
        "no memory limit": lambda them: container(them)["resources"]["limits"].pop("memory"),
        "a writable image": lambda them: container(them)["securityContext"].pop("readOnlyRootFilesystem"),
    }
    for what, make in mistakes.items():
        them = copy.deepcopy(objects)
        make(them)
        yield what, them


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        objects = [it for it in yaml.safe_load_all(file) if it]
    with open(sys.argv[2], encoding="utf-8") as file:
        schemas = Schemas(json.load(file))
    found = problems(objects, schemas)
    missed = [what for what, them in broken(objects) if not problems(them, schemas)]
    for line in found + [f"not noticed: {what}" for what in missed]:
        print(line, file=sys.stderr)
    if found or missed or not objects:
        sys.exit(1)
    print(f"{len(objects)} objects fit Kubernetes {' and '.join(VERSIONS)}; {len(list(broken(objects)))} mistakes were found")


main()
