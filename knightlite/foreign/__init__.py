"""Programs for the interpreter of another framework, started by :mod:`frontend.interpreter`.

That interpreter (Paddle's or PyTorch's) need not have knightlite installed: ``start`` makes this
copy of it importable. So this room may import no third-party package but that framework and numpy.
"""
