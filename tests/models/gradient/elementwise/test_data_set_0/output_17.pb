B
d_IdentityJPĞ?òH¦À¯€¾âV_À‰¥ñ¿ìd»¿ÈôÀ