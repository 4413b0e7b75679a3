"""Jupyter's own test suite for kernels, jupyter_kernel_test, run whole: conformance.py KERNEL prints one JSON object a line, {"test", "outcome", "text"}.

Left out: the pager, which is IPython's way to show help, and the suite's other class, IopubWelcomeTests, about greetings of an XPUB
socket that the protocol leaves to a kernel. A test of which a part was skipped counts as skipped.
"""
import sys
import unittest

import jupyter_kernel_test

from frontends.told import tell

PATIENCE = 30  # seconds for what the suite gives 0.1: it is about messages, and this machine may be busy


class Saelab(jupyter_kernel_test.KernelTests):
    kernel_name = sys.argv[1]
    language_name = "typescript"
    file_extension = ".ts"

    code_hello_world = "console.log('hello, world')"
    code_stderr = "console.error('on stderr')"
    code_generate_error = "throw new RangeError('on purpose')"

    completion_samples = [
        {"text": "parseF", "matches": {"parseFloat"}},
        {"text": "const root: number = Math.cbr", "matches": {"cbrt"}},
        {"text": "[1, 2].findLastI", "matches": {"findLastIndex"}},
        {"text": "let x: ReadonlyArr", "matches": {"ReadonlyArray"}},
        {"text": "for (const one of [{ wide: 1, narrow: 2 }]) one.wi", "matches": {"wide"}},
        {"text": "interface Shape { sides: number }\nfunction f(shape: Shape) {\n  shape.", "matches": {"sides"}},
    ]

    complete_code_samples = [
        "1",
        "const x = 1;",
        "await Promise.resolve(1)",
        "function f(a: number): number {\n  return a;\n}",
        "class A<T> {\n  constructor(readonly a: T) {}\n}\n",
        "for await (const x of [1]) console.log(x)",
        "`one ${1 + 1}\ntwo`",
        "type T = { a: 1 } | undefined",
        "// only a comment",
        "/re[/]x/.test('a')",
    ]
    incomplete_code_samples = [
        "function f() {",
        "if (true) {\n  f(",
        "const list = [1,",
        "const x =",
        "1 +",
        "const f = (a: number) =>",
        "`a template",
        "/* a comment",
        "class A {\n  m() {",
        "const o = {\n  a: 1,",
        "import {",
        "try { f() }",
    ]
    invalid_code_samples = [
        "const = 1;",
        "let 1st = 2;",
        "f)",
        "}",
        "'a string\nbroken'",
        "one two three",
        "class { m() {} }}",
        "return return",
    ]

    code_execute_result = [
        {"code": "6 * 7", "result": "42"},
        {"code": "['a', 'b'].join('-')", "result": "'a-b'"},
        {"code": "const kept: number = 20;\nkept + 1", "result": "21"},
        {"code": "await Promise.resolve(new Map([[1, 2]]))", "result": "Map(1) { 1 => 2 }"},
        {"code": "({ [Symbol.for('Jupyter.display')]: () => ({ 'text/html': '<b>bold</b>' }) })", "mime": "text/html", "result": "<b>bold</b>"},
    ]
    code_display_data = [
        {"code": "display({ 'text/html': '<i>shown</i>' })", "mime": "text/html"},
        {"code": "await display({ 'image/svg+xml': '<svg/>', 'text/plain': 'a drawing' });", "mime": "image/svg+xml"},
        {"code": "for (const x of [1]) display({ [Symbol.for('Jupyter.display')]: async () => ({ 'text/markdown': `*${x}*` }) });", "mime": "text/markdown"},
    ]

    code_history_pattern = "6 ? ?*"
    supported_history_operations = ("tail", "range", "search")

    code_inspect_sample = "parseFloat"
    code_clear_output = "console.log('gone');\nclearOutput();"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        channel = cls.kc.iopub_channel
        get = channel.get_msg
        cls.patience = 0
        channel.get_msg = lambda timeout=None: get(timeout=max(timeout or 0, cls.patience))

    def execute_helper(self, *args, **options):
        type(self).patience = PATIENCE
        try:
            return super().execute_helper(*args, **options)
        finally:
            type(self).patience = 0


class Report(unittest.TestResult):
    """One line a test: "passed" when neither it nor a part of it failed or was skipped."""

    def startTest(self, test):
        super().startTest(test)
        self.outcome, self.notes = "passed", []

    def stopTest(self, test):
        super().stopTest(test)
        tell({"test": test.id().split(".")[-1], "outcome": self.outcome, "text": "\n".join(self.notes)})

    def note(self, outcome, text):
        if self.outcome != "failed":
            self.outcome = outcome
        self.notes.append(text)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.note("failed", f"{test}\n{self.failures[-1][1]}")

    def addError(self, test, error):
        super().addError(test, error)
        # What fails before any test (the kernel does not start) belongs to none.
        if isinstance(test, unittest.TestCase) or hasattr(test, "test_case"):
            self.note("failed", f"{test}\n{self.errors[-1][1]}")
        else:
            sys.exit(self.errors[-1][1])

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.note("failed", f"{subtest}\n{''.join(str(error[1]))}")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.note("skipped", reason)


unittest.defaultTestLoader.loadTestsFromTestCase(Saelab).run(Report())
