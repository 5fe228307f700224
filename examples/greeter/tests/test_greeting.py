"""Tests of the greeting, with nothing but the standard library."""

import unittest

from greeter import greeting


class GreetingTest(unittest.TestCase):
    def test_greets_by_name(self) -> None:
        self.assertEqual(greeting(" Ada "), "Hello, Ada!")

    def test_refuses_a_blank_name(self) -> None:
        with self.assertRaises(ValueError):
            greeting("  ")
