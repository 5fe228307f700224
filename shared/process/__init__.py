"""Process mechanics: the lifeline to the starter of a process, and the tree of processes that an execution started.

Both modules are public; neither imports anything heavy, since small helper processes import them too."""
