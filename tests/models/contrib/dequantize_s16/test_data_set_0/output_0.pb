By0J0ÂuaCR8ªBÂ¯A{ÔCõ(ºB=
ÇÀÂõH@B’Ãf¦[CffFÃ¸^Ã®GxB