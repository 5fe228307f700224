"""`python3 -m greeter NAME…` greets each name on a line of its own."""

import sys

from greeter import greeting

for name in sys.argv[1:]:
    print(greeting(name))
