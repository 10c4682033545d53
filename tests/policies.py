"""Says what IAM policies decide for one request: those of AWS's documentation, "Policy evaluation logic", and no more operators than the
templates of deploy/aws have. An operator that is not here is an error, never a yes."""

import fnmatch

ALLOWED, DELEGATED, DENIED, SILENT = "allowed", "left to the account", "denied", "silent"


def many(value):
    return value if isinstance(value, list) else [value]


def like(value, patterns):
    """* and ? as IAM has them; brackets are themselves."""
    return any(fnmatch.fnmatchcase(value, str(one).replace("[", "[[]")) for one in many(patterns))


def text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def holds(operator, have, wanted):
    """have: the request's value, or None. Negated operators hold where the request has no value."""
    wanted = [text(one) for one in many(wanted)]
    if operator == "Null":
        return (have is None) == (wanted == ["true"])
    if operator in ("StringNotEquals", "StringNotEqualsIgnoreCase"):
        fold = str.lower if operator.endswith("IgnoreCase") else str
        return have is None or fold(have) not in map(fold, wanted)
    if operator in ("StringEquals", "Bool", "StringEqualsIgnoreCase"):
        fold = str.lower if operator != "StringEquals" else str
        return have is not None and fold(have) in map(fold, wanted)
    if operator in ("StringLike", "ArnLike", "ArnEquals"):
        return have is not None and like(have, wanted)
    raise NotImplementedError(operator)


def names(statement, request):
    """How a statement's principal names whoever asks: themselves (or everybody, or their service), their account, or not at all."""
    principal, asking = statement["Principal"], request["principal"]
    if principal == "*":
        return "themselves"
    if asking in many(principal.get("Service", [])) + many(principal.get("AWS", [])):
        return "themselves"
    account = (asking.split(":") + [""] * 5)[4]
    return "account" if account and any(one in (account, f"arn:aws:iam::{account}:root") for one in many(principal.get("AWS", []))) else None


def applies(statement, request):
    """Truth, or "account" where the statement leaves it to the account's IAM."""
    action = any(like(request["action"].lower(), one.lower()) for one in many(statement["Action"]))
    resource = like(request["resource"], statement["Resource"]) if "Resource" in statement else True
    keys = {name.lower(): value for name, value in request.get("keys", {}).items()}
    conditions = statement.get("Condition", {})
    if not all(holds(operator, keys.get(key.lower()), wanted) for operator, block in conditions.items() for key, wanted in block.items()):
        return None
    return action and resource and (names(statement, request) if "Principal" in statement else "themselves")


def decide(policy, request):
    """request: principal (ARN or service), action, resource, keys (of conditions)."""
    found = {(statement["Effect"], how) for statement in many(policy["Statement"]) if (how := applies(statement, request))}
    if any(effect == "Deny" for effect, _ in found):
        return DENIED
    return ALLOWED if ("Allow", "themselves") in found else DELEGATED if found else SILENT


def permitted(request, identity, resource, same_account):
    """identity: policies of whoever asks. resource: that of what is asked for, or None. An account that is named decides by its IAM; between accounts,
    and for a key of KMS, both sides have to agree."""
    own = {decide(policy, request) for policy in identity}
    theirs = decide(resource, request) if resource else SILENT
    if DENIED in own or theirs == DENIED:
        return False
    if same_account and theirs == ALLOWED:
        return True
    both = not same_account or request["action"].startswith("kms:")
    return ALLOWED in own and (not both or resource is None and same_account or theirs in (ALLOWED, DELEGATED))
