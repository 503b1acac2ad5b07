BscoresJ\û­¿þ
?rW¾xG²¿Ðþ‘»