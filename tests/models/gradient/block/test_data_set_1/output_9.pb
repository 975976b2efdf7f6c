Bd_biasJ ö'}ÁÊ¥›ÀÙ^‘A2
?ÀvAW3A_…£ÁOJ¢À