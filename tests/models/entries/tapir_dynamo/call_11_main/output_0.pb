BscoresJ1\ø
dﬂ=vÆ~>|/2ø ≈?