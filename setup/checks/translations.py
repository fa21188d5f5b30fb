"""Write or check the translation templates of the addons; see setup/translations."""

import re
import string
import sys

import polib
import testbed


def export(modules):
    """Return the template of each module as Odoo exports it now."""
    with testbed.Database("translations", testbed.installed()) as database:
        log = testbed.LOGS / "translations.log"
        files = {}
        for module in modules:
            path = testbed.WORK / f"{module}.pot"
            if database.run("i18n", "export", "-d", database.name, "-l", "pot", "-o", path, module, log=log):
                raise SystemExit(f"{module} was not exported; the end of {log}:\n{testbed.tail(log)}")
            files[module] = path
        return files


def essence(path):
    """What matters of a template: the texts and where they come from, not the dates."""
    return {(entry.msgctxt, entry.msgid, tuple(entry.occurrences)) for entry in polib.pofile(str(path))}


def texts(path):
    return {(entry.msgctxt, entry.msgid) for entry in polib.pofile(str(path))}


def placeholders(text):
    """The names a text leaves open: %(name)s, %s, {name}."""
    named = re.findall(r"%\((\w+)\)|%([sdf])", text)
    try:
        braces = [name for _text, name, _spec, _conversion in string.Formatter().parse(text) if name]
    except ValueError:
        braces = []
    return sorted("".join(pair) for pair in named) + sorted(braces)


def check_language(path):
    """Each translated text keeps the placeholders of its source."""
    for entry in polib.pofile(str(path)):
        if entry.msgstr and not entry.obsolete and placeholders(entry.msgid) != placeholders(entry.msgstr):
            yield f"{path.name}: “{entry.msgid[:60]}” lost or gained a placeholder"


def check(module, fresh):
    folder = testbed.folder_of(module) / "i18n"
    kept = folder / f"{module}.pot"
    if not kept.exists():
        yield f"{module} has no template: setup/translations writes it"
        return
    wanted, found = texts(fresh), texts(kept)
    for _context, text in sorted(wanted - found, key=str)[:10]:
        yield f"{kept.name} lacks “{text[:80]}”: run setup/translations"
    for _context, text in sorted(found - wanted, key=str)[:10]:
        yield f"{kept.name} still holds “{text[:80]}”: run setup/translations"
    for path in sorted(folder.glob("*.po")):
        yield from check_language(path)


def write(module, fresh):
    folder = testbed.folder_of(module) / "i18n"
    folder.mkdir(exist_ok=True)
    kept = folder / f"{module}.pot"
    if not kept.exists() or essence(kept) != essence(fresh):
        template = polib.pofile(str(fresh))
        template.save(str(kept))
        print(f"wrote {kept.relative_to(testbed.ROOT)}")
    template = polib.pofile(str(kept))
    for path in sorted(folder.glob("*.po")):
        language = polib.pofile(str(path))
        language.merge(template)
        language.save(str(path))
        print(f"merged {path.relative_to(testbed.ROOT)}: {language.percent_translated()} % translated")


def main():
    modules = testbed.addons()
    fresh = export(modules)
    if "--check" not in sys.argv:
        for module in modules:
            write(module, fresh[module])
        return
    problems = {module: list(check(module, fresh[module])) for module in modules}
    good = sum(not found for found in problems.values())
    testbed.close(good, len(problems) - good, [line for found in problems.values() for line in found])


main()
