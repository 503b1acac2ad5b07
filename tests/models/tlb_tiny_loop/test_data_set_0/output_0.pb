
BlogitsJ(Þ¼À=XPÁ?|SA?N¢_¿I¿¿p÷?úý·<BIø½ vD¾F	=