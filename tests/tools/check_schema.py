"""Check results files against report/ol-results.schema.json.

    check_schema.py SCHEMA RESULTS.json...

With the jsonschema package when it can be imported; else with the little of JSON Schema
that our schema uses, and a keyword that is not known here is an error.
"""
import json
import sys

KINDS = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
PASSIVE = {"description", "title", "$schema", "$defs"}


def is_kind(value, kind):
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, KINDS[kind])


def errors(schema, value, whole, path="$"):
    for key, rule in schema.items():
        if key in PASSIVE:
            continue
        if key == "$ref":
            yield from errors(whole["$defs"][rule.rsplit("/", 1)[1]], value, whole, path)
        elif key == "type":
            if not any(is_kind(value, k) for k in (rule if isinstance(rule, list) else [rule])):
                yield "%s: expected %s, found %.60r" % (path, rule, value)
        elif key == "const":
            if value != rule:
                yield "%s: expected %r" % (path, rule)
        elif key == "enum":
            if value not in rule:
                yield "%s: %r is not one of %r" % (path, value, rule)
        elif key == "oneOf":
            found = [list(errors(s, value, whole, path)) for s in rule]
            if sum(not f for f in found) != 1:
                yield "%s: fits %d of %d: %s" % (path, sum(not f for f in found), len(rule), found[0][:2])
        elif key == "required":
            for name in rule if isinstance(value, dict) else ():
                if name not in value:
                    yield "%s: %s is missing" % (path, name)
        elif key == "properties":
            for name, part in rule.items() if isinstance(value, dict) else ():
                if name in value:
                    yield from errors(part, value[name], whole, path + "." + name)
        elif key == "items":
            for i, item in enumerate(value if isinstance(value, list) else ()):
                yield from errors(rule, item, whole, "%s[%d]" % (path, i))
        elif key in ("minimum", "maximum", "exclusiveMinimum"):
            if is_kind(value, "number") and not {"minimum": value >= rule, "maximum": value <= rule,
                                                  "exclusiveMinimum": value > rule}[key]:
                yield "%s: %r is beyond %s %r" % (path, value, key, rule)
        elif key in ("minItems", "maxItems"):
            if isinstance(value, list) and not (len(value) >= rule if key == "minItems" else len(value) <= rule):
                yield "%s: %d items, %s %d" % (path, len(value), key, rule)
        else:
            raise SystemExit("check_schema.py does not know the keyword " + key)


def main():
    schema = json.load(open(sys.argv[1]))
    try:
        import jsonschema
        checker = jsonschema.Draft202012Validator(schema)
        checker.check_schema(schema)
    except (ImportError, AttributeError):
        checker = None
    bad = 0
    for name in sys.argv[2:]:
        results = json.load(open(name))
        found = list(errors(schema, results, schema))
        if checker is not None:
            found += ["jsonschema: %s: %s" % (e.json_path, e.message[:200]) for e in checker.iter_errors(results)]
        for text in found[:10]:
            print("%s: %s" % (name, text))
        bad += bool(found)
    sys.exit(1 if bad else 0)


main()
