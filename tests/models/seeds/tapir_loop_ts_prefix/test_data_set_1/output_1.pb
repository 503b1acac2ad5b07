BscoresJd·3?)Z½¾ŸX¿p/½ÿí
À