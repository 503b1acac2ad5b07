J·úw@“hxBÕHãÀ)^
?8'_BV’NB