"""Processes and what binds them: the lifeline to the starter, and the tree of what an execution started.

Both modules are public; neither imports anything heavy, since small helper processes import them too."""
