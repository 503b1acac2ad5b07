BscoresJf·3?ZЅѕџXї`/Ѕьн
А