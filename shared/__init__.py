"""The service. A regular package on purpose: the worker would let an installed `shared` win over a namespace folder."""
